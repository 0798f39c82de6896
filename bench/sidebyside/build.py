# SPDX-License-Identifier: Apache-2.0
"""Installs what is missing and builds what is measured."""

import subprocess
from pathlib import Path
from typing import Sequence

from sidebyside.process import Failure

ROOT = Path(__file__).resolve().parents[2]
# Service, target of its load generator. That of etcd is no CMake target: Go builds it.
TARGETS = {"lockd": "load-lockd", "zookeeper": "load-zookeeper", "redis": "load-redis", "floor": "load-floor"}


def run(command: Sequence[str], log: Path) -> None:
    """Runs a command whose words nobody wants to read unless it fails."""
    with open(log, "ab") as words:
        words.write(f"$ {' '.join(command)}\n".encode())
        words.flush()
        status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=words, stderr=words).returncode
    if status != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Failure(f"exit {status}: {' '.join(command)} (all of it: {log})\n{end}")


def install(log: Path) -> None:
    """Packages of lockd and of its peers; quick when all are there."""
    run(["scripts/packages.sh"], log)
    run(["bench/packages.sh"], log)


def build(folder: Path, services: Sequence[str], log: Path) -> None:
    """lockd and the generators of these services."""
    targets = [TARGETS[service] for service in services if service in TARGETS]
    _build_targets(folder, ["lockd", "lockctl", "slow_reader", *targets], log)
    if "etcd" in services:
        run(["bench/load/build-etcd.sh", str(folder / "bench/load/load-etcd")], log)


def build_counts(folder: Path, log: Path) -> None:
    """What the counts are taken of."""
    _build_targets(folder, ["lockd", "lockctl", "counts-core", "counts-load"], log)


def _build_targets(folder: Path, targets: Sequence[str], log: Path) -> None:
    """As the preset `release` does, in any folder."""
    run(["cmake", "-S", ".", "-B", str(folder), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo"], log)
    run(["cmake", "--build", str(folder), "--target", *targets], log)


def generator(folder: Path, service: str) -> Path:
    """The load generator of a service."""
    return folder / f"bench/load/load-{service}"
