# SPDX-License-Identifier: Apache-2.0
"""More than is reasonable, and who behaves badly."""

import contextlib
import signal
import subprocess
from typing import Callable, Iterator

from sidebyside.lockd import Lockd
from sidebyside.process import end, spawn
from sidebyside.workload import Stage, Workload, count

SESSIONS = 64
# So that the reply to one List is large.
LISTED = 1000
# Requests of a client that never reads before it only waits, and how long it does.
READER_REQUESTS, READER_S = 500, 60


class Overload(Workload):
    """What others notice of it."""

    name = "overload"
    about = "pairs at 64 sessions beside a stopped follower and beside a client that never reads; a flood of requests"
    services = ("lockd",)

    def run(self, stage: Stage) -> None:
        service = stage.service
        assert isinstance(service, Lockd)
        with stage.load("hold", sessions=SESSIONS, locks=LISTED, ttl_ms=60_000, prefix="listed") as holder:
            holder.line()
            case = count(SESSIONS, "session")
            _pairs(stage, f"{case}, quiet")
            with _stopped(service, service.find_leader() % service.size + 1):
                _pairs(stage, f"{case}, a follower stopped")
            service.wait_ready()
            with _slow_reader(service) as keep_reading:
                _pairs(stage, f"{case}, a client never reads", keep_reading)
        _flood(stage)


def _pairs(stage: Stage, case: str, meanwhile: Callable[[], object] | None = None) -> None:
    """Pairs, and the most memory that a node had meanwhile."""
    resident: list[int] = []

    def look() -> None:
        resident.append(max(stage.service.resident_bytes().values()))
        if meanwhile:
            meanwhile()

    result = stage.measure("pairs", look, sessions=SESSIONS)
    stage.record(case, "pairs", result["per_s"], "1/s")
    stage.record(case, "acquire p99", result["acquire_us"]["p99"], "µs")
    stage.record(case, "memory of the largest node", max(resident) / 2**20, "MiB")


def _flood(stage: Stage) -> None:
    """More requests at once than a leader admits, and one session beside them that asks once at a time."""
    resident: list[int] = []
    case = f"{count(stage.scale.flooders, 'session')}, 32 requests each"
    result = stage.measure(
        "flood", lambda: resident.append(max(stage.service.resident_bytes().values())), sessions=stage.scale.flooders
    )
    stage.record(case, "answers", result["per_s"], "1/s")
    stage.record(case, "BUSY", result["busy"] / result["seconds"], "1/s")
    stage.record(case, "sessions expired", result["expired"], "count")
    stage.record(case, "acquire p99 of one beside", result["polite_us"]["p99"], "µs")
    stage.record(case, "acquire p99 of the same, quiet", result["quiet_us"]["p99"], "µs")
    stage.record(case, "memory of the largest node", max(resident) / 2**20, "MiB")


@contextlib.contextmanager
def _stopped(service: Lockd, node: int) -> Iterator[None]:
    service.signal_node(node, signal.SIGSTOP)
    try:
        yield
    finally:
        service.signal_node(node, signal.SIGCONT)


@contextlib.contextmanager
def _slow_reader(service: Lockd) -> Iterator[Callable[[], None]]:
    """Yields what brings it back whenever the node has thrown it out."""
    port = service.client_port[service.find_leader()]
    program = str(service.build / "tests/integration/slow_reader")
    command = [program, "127.0.0.1", str(port), str(READER_REQUESTS), str(READER_S)]
    readers: list[subprocess.Popen] = []

    def keep_reading() -> None:
        if not readers or readers[-1].poll() is not None:
            readers.append(spawn(command))

    try:
        yield keep_reading
    finally:
        for reader in readers:
            end(reader)
