# SPDX-License-Identifier: Apache-2.0
"""Sessions that do nothing but live."""

from sidebyside.process import Failure
from sidebyside.workload import CpuTrace, Stage, Workload, count

LONG_TTL_MS = 30_000
# The shortest that lockd takes. Its clients renew after a sixth of the TTL whatever the server could bear, those of the
# others as fast as they are answered: only many sessions with a short TTL ask lockd for what it can.
SHORT_TTL_MS = 3_000
# So that each session has been renewed several times.
LONG_SECONDS = 15


class Keepalive(Workload):
    """As fast as they can be kept alive, and what it costs to keep many."""

    name = "keepalive"
    # A session of ZooKeeper is a connection, which its client library pings by itself and nothing makes faster.
    services = ("lockd", "etcd")
    about = "keeps 1,000 sessions alive as fast as it goes; 100,000 at TTL 30 s (etcd 10,000); lockd: 500,000 at 3 s"

    def run(self, stage: Stage) -> None:
        rates = [self._one(stage, stage.scale.keepers_of_all, SHORT_TTL_MS, stage.scale.seconds)]
        many = stage.scale.keepers if stage.service.name == "lockd" else stage.scale.keepers_of_etcd
        rates.append(self._one(stage, many, LONG_TTL_MS, max(stage.scale.seconds, LONG_SECONDS)))
        if stage.service.name == "lockd":
            rates.append(self._one(stage, stage.scale.keepers_at_short_ttl, SHORT_TTL_MS, stage.scale.seconds))
        stage.record("the most of these", "keep-alives", max(rates), "1/s")

    def _one(self, stage: Stage, sessions: int, ttl_ms: int, seconds: float) -> float:
        case = f"{count(sessions, 'session')}, TTL {ttl_ms // 1000} s"
        trace = CpuTrace(stage.service)
        result = stage.measure("keepalive", trace.look, sessions=sessions, seconds=seconds, ttl_ms=ttl_ms)
        if result["expired"]:
            raise Failure(f"{result['expired']} of {sessions} sessions expired while they were kept alive")
        used, lasted = trace.last(result["seconds"])
        stage.record(case, "keep-alives", result["per_s"], "1/s")
        stage.record(case, "CPU of servers", sum(used.values()) / lasted / result["per_s"] * 1e6, "µs/keep-alive")
        stage.record(case, "CPU of leader", max(used.values()) / lasted * 100, "% of a core")
        return result["per_s"]
