# SPDX-License-Identifier: Apache-2.0
"""A workload, and the stage on which it meets one service in one round."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from sidebyside.generator import OVERHEAD_S, Generator, flags
from sidebyside.sample import Key, Sample, Samples
from sidebyside.service import Service


@dataclass(frozen=True)
class Scale:
    """How long, and how much of it. What a peer gets less of is told by the case's name."""

    seconds: float = 5
    sessions: tuple[int, ...] = (1, 16, 64, 256)
    queues: tuple[int, ...] = (4, 16, 64)
    kills: int = 5
    stops: int = 2
    locks: int = 1_000_000
    locks_of_peers: int = 100_000
    waiters: int = 100_000
    waiters_of_peers: int = 1_000
    keepers: int = 100_000
    keepers_of_etcd: int = 10_000
    keepers_of_all: int = 1_000
    keepers_at_short_ttl: int = 500_000
    expiring: dict[str, int] = field(default_factory=lambda: {"lockd": 100_000, "etcd": 10_000, "zookeeper": 1_000})
    crowds: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    # Each has 32 requests under way: twice what a leader admits at once, LIMIT_PENDING_REQUESTS_MAX.
    flooders: int = 8_192


QUICK = Scale(
    seconds=1,
    kills=1,
    stops=1,
    locks=20_000,
    locks_of_peers=2_000,
    waiters=2_000,
    waiters_of_peers=200,
    keepers=5_000,
    keepers_of_etcd=500,
    keepers_of_all=100,
    keepers_at_short_ttl=20_000,
    expiring={"lockd": 5_000, "etcd": 500, "zookeeper": 100},
    crowds=(1_000, 10_000),
    flooders=256,
)


def count(n: int, noun: str) -> str:
    """`1 session`, `1,000 sessions`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


class CpuTrace:
    """Processor time of a service while a generator works."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._points: list[tuple[float, dict[int, float]]] = []

    def look(self) -> None:
        """Adds a point."""
        used = {node: self._service.cpu_seconds([node]) for node in self._service.ids()}
        self._points.append((time.monotonic(), used))

    def last(self, seconds: float) -> tuple[dict[int, float], float]:
        """Seconds used by node in about the last `seconds`, and how long that was exactly."""
        end, used = self._points[-1]
        began, before = next(point for point in self._points if point[0] >= end - seconds)
        return {node: used[node] - before[node] for node in used}, end - began


class Stage:
    """One service, freshly started, and where samples about it go."""

    def __init__(
        self, service: Service, generator: Path, workload: str, number: int, scale: Scale, samples: Samples
    ) -> None:
        self.service = service
        self.scale = scale
        self.commands: list[list[str]] = []
        self.notes: list[str] = []
        self._generator = generator
        self._workload = workload
        self._round = number
        self._samples = samples
        self._warm: set[str] = set()

    def record(self, case: str, metric: str, value: float | None, unit: str) -> None:
        """Keeps a sample; where a generator measured nothing there is none."""
        if value is None:
            self.note(f"{case}: no {metric} was measured")
            return
        key = Key(self._workload, case, metric)
        self._samples.add(Sample(key, self.service.name, self._round, value, unit))

    def note(self, text: str) -> None:
        """What a reader of the figures must know."""
        self.notes.append(f"{self._workload}, {self.service.name}: {text}")

    def load(self, workload: str, **values: object) -> Generator:
        """Starts the service's generator; the time that it may take is what it measures and plenty for the rest."""
        command = [str(self._generator), workload, *flags(**self.service.load_flags(), **values)]
        self.commands.append(command)
        patience_s = OVERHEAD_S + float(str(values.get("seconds", 0)))
        return Generator(command, self.service.folder / "load.log", patience_s)

    def measure(self, workload: str, meanwhile: Callable[[], object] | None = None, **values: object) -> dict[str, Any]:
        """The line of a generator that measures for `scale.seconds` and ends."""
        values.setdefault("seconds", self.scale.seconds)
        if self.service.warms_up and workload not in self._warm:
            self._warm.add(workload)
            with self.load(workload, **values) as generator:
                generator.line()
                generator.wait()
        with self.load(workload, **values) as generator:
            result = generator.line(meanwhile)
            generator.wait()
        return result


class Workload:
    """What is done to a service, and which services it is done to."""

    name = ""
    about = ""
    services: tuple[str, ...] = ("lockd", "etcd", "zookeeper")

    def run(self, stage: Stage) -> None:
        """Does it, and records samples on the stage."""
        raise NotImplementedError
