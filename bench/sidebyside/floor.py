# SPDX-License-Identifier: Apache-2.0
"""What disk, network and scheduler of this machine allow at best."""

from typing import Any

from sidebyside.service import Service
from sidebyside.workload import Stage, Workload


class Floor(Service):
    """No servers: load-floor brings its own processes."""

    name = "floor"
    size = 0
    settings = "the path of an acquire in bare epoll, pwrite and fdatasync, and over nng: bench/load/floor.c"

    def ready(self) -> bool:
        return True

    def load_flags(self) -> dict[str, object]:
        return {"data": self.folder}

    @classmethod
    def version(cls) -> str:
        return ""


class FloorWorkload(Workload):
    """Taken in each round: the floor moves with what else the machine does."""

    name = "floor"
    about = "one acquire's path in system calls and over nng; syncs of one file and of three at once; a byte to and fro"
    services = ("floor",)

    def run(self, stage: Stage) -> None:
        self._record(stage, "one acquire", stage.measure("acquire"))
        self._record(stage, "one acquire over nng", stage.measure("acquire-nng"))
        self._record(stage, "one sync", stage.measure("sync", processes=1))
        self._record(stage, "three syncs at once", stage.measure("sync", processes=3))
        self._record(stage, "round trip over loopback", stage.measure("roundtrip"))

    @staticmethod
    def _record(stage: Stage, case: str, result: dict[str, Any]) -> None:
        stage.record(case, "rate", result["per_s"], "1/s")
        stage.record(case, "p50", result["us"]["p50"], "µs")
        stage.record(case, "p99", result["us"]["p99"], "µs")
