# SPDX-License-Identifier: Apache-2.0
"""A very long queue for one lock."""

from sidebyside.workload import Stage, Workload, count


class Waiters(Workload):
    """What a waiter costs, and whether the length of the queue slows its head down."""

    name = "wait"
    about = "1,000 waiters for one lock (lockd also 100,000): memory per waiter, hand-offs from one to the next"

    def run(self, stage: Stage) -> None:
        self._one(stage, stage.scale.waiters_of_peers)
        if stage.service.name == "lockd":
            self._one(stage, stage.scale.waiters)

    def _one(self, stage: Stage, waiters: int) -> None:
        service, case = stage.service, count(waiters, "waiter")
        before = service.resident_bytes()
        queue = {"sessions": waiters, "prefix": f"wait{waiters}", "ttl_ms": 60_000}
        with stage.load("wait", seconds=stage.scale.seconds, **queue) as generator:
            generator.line()
            service.wait_quiet()
            after = service.resident_bytes()
            generator.go()
            result = generator.line()
            generator.wait()
        stage.record(case, "memory per waiter", max(after[i] - before[i] for i in after) / waiters, "bytes")
        stage.record(case, "hand-offs", result["per_s"], "1/s")
        stage.record(case, "hand-off p50", result["handoff_us"]["p50"], "µs")
