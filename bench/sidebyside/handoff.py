# SPDX-License-Identifier: Apache-2.0
"""One lock that everybody wants."""

from sidebyside.workload import Stage, Workload, count


class Handoff(Workload):
    """All sessions queue; who gets the lock gives it away at once and queues again."""

    name = "handoff"
    about = "all sessions queue for one lock and pass it on at once, at 4 to 64 sessions"

    def run(self, stage: Stage) -> None:
        for sessions in stage.scale.queues:
            result = stage.measure("handoff", sessions=sessions)
            case = count(sessions, "session")
            stage.record(case, "hand-offs", result["per_s"], "1/s")
            stage.record(case, "hand-off p50", result["handoff_us"]["p50"], "µs")
            stage.record(case, "hand-off p99", result["handoff_us"]["p99"], "µs")
