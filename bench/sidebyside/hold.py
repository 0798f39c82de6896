# SPDX-License-Identifier: Apache-2.0
"""Very many locks that are held."""

import contextlib
import time
from typing import Iterator

from sidebyside.lockd import Lockd
from sidebyside.service import wait_until
from sidebyside.workload import Stage, Workload, count

SESSIONS = 256
# Longer than all that is done to the nodes meanwhile.
TTL_MS = 300_000
PATIENCE_S = 300


@contextlib.contextmanager
def holding(stage: Stage, locks: int) -> Iterator[str]:
    """Holds so many locks, and records what it cost to get there. Yields the name of the case."""
    service, case = stage.service, count(locks, "lock")
    before = service.resident_bytes()
    with stage.load("hold", sessions=SESSIONS, locks=locks, ttl_ms=TTL_MS) as generator:
        result = generator.line()
        wait_until(lambda: service.held() >= locks, f"{service.name}: {case} held", PATIENCE_S)
        service.wait_quiet()
        after = service.resident_bytes()
        stage.record(case, "acquires", result["per_s"], "1/s")
        stage.record(case, "memory per lock", max(after[i] - before[i] for i in after) / locks, "bytes")
        yield case


class Hold(Workload):
    """What a held lock costs in memory, in every service."""

    name = "hold"
    about = "100,000 held locks: rate of acquires, memory per lock of the node that grew most"

    def run(self, stage: Stage) -> None:
        if stage.service.warms_up:
            stage.note("memory of a JVM: its heap grows in steps and holds garbage, too")
        with holding(stage, stage.scale.locks_of_peers):
            pass


class Million(Workload):
    """Ten times as many, and what it takes to bring a node back."""

    name = "million"
    about = "1,000,000 held locks: memory per lock, checkpoints, restart of a node, a node that gets a snapshot"
    services = ("lockd",)

    def run(self, stage: Stage) -> None:
        service = stage.service
        assert isinstance(service, Lockd)
        with holding(stage, stage.scale.locks) as case:
            leader = service.find_leader()
            _record_checkpoints(stage, service.metrics(leader), case)
            follower = leader % service.size + 1
            stage.record(case, "restart", _restart(service, follower, stage.scale.locks), "s")
            stage.record(case, "restore by snapshot", _restore(service, follower, stage.scale.locks), "s")


def _record_checkpoints(stage: Stage, metrics: dict[str, float], case: str) -> None:
    """Those of the leader, while the locks were acquired."""
    times = metrics["lockd_checkpoint_seconds_count"]
    stage.record(case, "checkpoints", times, "count")
    if times:
        stage.record(case, "checkpoint, mean", metrics["lockd_checkpoint_seconds_sum"] / times * 1000, "ms")
    writes = metrics["lockd_store_write_seconds_sum"] / metrics["lockd_store_write_seconds_count"]
    stage.record(case, "log write, mean", writes * 1000, "ms")


def _serves_all(service: Lockd, node: int, locks: int) -> float:
    """Seconds from here until this node is ready and has all locks."""
    began = time.monotonic()
    wait_until(
        lambda: service.serves(node) and service.metrics(node)["lockd_locks"] >= locks,
        f"lockd: node {node} serves again",
        PATIENCE_S,
    )
    return time.monotonic() - began


def _restart(service: Lockd, node: int, locks: int) -> float:
    """After kill -9, from exec to ready."""
    service.end_node(node)
    service.start_node(node)
    return _serves_all(service, node, locks)


def _restore(service: Lockd, node: int, locks: int) -> float:
    """The log of a node is gone: from exec until it has everything from the others again, and is ready."""
    service.end_node(node)
    (service.data(node) / "raft.db").write_bytes(b"")
    service.start_node(node)
    return _serves_all(service, node, locks)
