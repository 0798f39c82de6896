# SPDX-License-Identifier: Apache-2.0
"""Rounds of workloads over services: interleaved, so that what disturbs the machine disturbs all of them."""

import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Sequence

from sidebyside import build
from sidebyside.crowd import Crowd
from sidebyside.etcd import Etcd
from sidebyside.expiry import Expiry
from sidebyside.floor import Floor, FloorWorkload
from sidebyside.gap import Gap
from sidebyside.handoff import Handoff
from sidebyside.hold import Hold, Million
from sidebyside.keepalive import Keepalive
from sidebyside.lockd import Lockd
from sidebyside.overload import Overload
from sidebyside.pairs import Pairs
from sidebyside.ports import Ports
from sidebyside.process import Failure
from sidebyside.redis import Redis
from sidebyside.sample import Samples
from sidebyside.service import Service
from sidebyside.waiters import Waiters
from sidebyside.workload import Scale, Stage, Workload
from sidebyside.zookeeper import ZooKeeper

SERVICES: dict[str, type[Service]] = {service.name: service for service in (Lockd, Etcd, ZooKeeper, Redis, Floor)}
WORKLOADS: dict[str, Workload] = {
    workload.name: workload
    for workload in (
        FloorWorkload(),
        Pairs(),
        Handoff(),
        Keepalive(),
        Gap(),
        Hold(),
        Waiters(),
        Expiry(),
        Million(),
        Crowd(),
        Overload(),
    )
}

# Besides what is known to go wrong: a generator or a node that answers something else than was expected. An hour of
# other figures shall not be lost by it.
FAILURES = (Failure, OSError, ArithmeticError, LookupError, ValueError)


@dataclass
class Run:
    """What is to be measured, and what came of it."""

    services: Sequence[str]
    workloads: Sequence[str]
    rounds: int
    scale: Scale
    build: Path
    data: Path
    samples: Samples = field(default_factory=Samples)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    commands: dict[str, list[list[str]]] = field(default_factory=dict)

    def all(self) -> None:
        """Every round. A service that fails in a workload is told at the end; the others go on."""
        Lockd.build = self.build
        for number in range(1, self.rounds + 1):
            for workload in self.workloads:
                for service in self.order(workload, number):
                    self._one(WORKLOADS[workload], service, number)

    def order(self, workload: str, number: int) -> list[str]:
        """Services in a round. Each round begins with another one: none always comes after the same neighbour."""
        taking_part = [service for service in self.services if service in WORKLOADS[workload].services]
        shift = (number - 1) % max(1, len(taking_part))
        return taking_part[shift:] + taking_part[:shift]

    def _one(self, workload: Workload, service: str, number: int) -> None:
        began = time.monotonic()
        print(f"round {number}/{self.rounds}  {workload.name:<10} {service:<10}", end="", file=sys.stderr, flush=True)
        try:
            self._on_stage(workload, service, number)
            verdict = f"{time.monotonic() - began:.0f} s"
        except FAILURES as failure:
            what = failure if isinstance(failure, Failure) else repr(failure)
            self.failures.append(f"round {number}, {workload.name}, {service}: {what}")
            verdict = f"FAILED: {what}"
        print(f" {verdict}", file=sys.stderr, flush=True)

    def _on_stage(self, workload: Workload, name: str, number: int) -> None:
        """Fresh nodes and data, which are gone afterwards however it ended."""
        folder = Path(tempfile.mkdtemp(prefix="lockd-bench.", dir=self.data))
        ports = Ports()
        try:
            service = SERVICES[name](folder / name, ports)
            generator = build.generator(self.build, name)
            stage = Stage(service, generator, workload.name, number, self.scale, self.samples)
            try:
                service.start()
                workload.run(stage)
            finally:
                service.stop()
                self.notes += [note for note in stage.notes if note not in self.notes]
                self.commands[f"{workload.name} {name}"] = service.commands + stage.commands
        finally:
            ports.close()
            shutil.rmtree(folder)

    def results(self, **about: Any) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            **about,
            "rounds": self.rounds,
            "scale": asdict(self.scale),
            "failures": self.failures,
            "notes": self.notes,
            "commands": self.commands,
            "samples": [
                {**sample.key._asdict(), **{k: v for k, v in asdict(sample).items() if k != "key"}}
                for sample in self.samples.all
            ],
        }


def write_results(path: Path, results: dict[str, Any]) -> None:
    """As one file of JSON."""
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
