# SPDX-License-Identifier: Apache-2.0
"""Sessions that do nothing but live."""

from sidebyside.process import Failure
from sidebyside.workload import CpuTrace, Stage, Workload, count

LONG_TTL_MS = 30_000
# So that a client library which renews after a third of the TTL has renewed every session.
LONG_SECONDS = 15


class Keepalive(Workload):
    """As fast as they can be kept alive, and what it costs to keep many."""

    name = "keepalive"
    about = "keeps sessions alive as fast as it goes; what 100,000 of them with a TTL of 30 s cost (etcd: 10,000)"

    def run(self, stage: Stage) -> None:
        scale = stage.scale
        self._one(stage, count(scale.keepers_of_all, "session"), scale.keepers_of_all, scale.seconds)
        many = {"lockd": scale.keepers, "etcd": scale.keepers_of_etcd}.get(stage.service.name)
        if many is None:
            stage.note("its client needs a connection and two threads per session: many sessions are not measured")
            return
        seconds = max(scale.seconds, LONG_SECONDS)
        self._one(stage, f"{count(many, 'session')}, TTL 30 s", many, seconds, ttl_ms=LONG_TTL_MS)

    def _one(self, stage: Stage, case: str, sessions: int, seconds: float, **values: object) -> None:
        trace = CpuTrace(stage.service)
        result = stage.measure("keepalive", trace.look, sessions=sessions, seconds=seconds, **values)
        if result["expired"]:
            raise Failure(f"{result['expired']} of {sessions} sessions expired while they were kept alive")
        used, lasted = trace.last(result["seconds"])
        stage.record(case, "keep-alives", result["per_s"], "1/s")
        stage.record(case, "CPU of servers", sum(used.values()) / lasted / result["per_s"] * 1e6, "µs/keep-alive")
        stage.record(case, "CPU of leader", max(used.values()) / lasted * 100, "% of a core")
