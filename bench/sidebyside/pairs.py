# SPDX-License-Identifier: Apache-2.0
"""Acquire and release, each session a lock of its own."""

from sidebyside.workload import CpuTrace, Stage, Workload, count


class Pairs(Workload):
    """The everyday life of a lock that nobody else wants."""

    name = "pairs"
    about = "each session acquires and releases a lock of its own, at 1 to 256 sessions"
    services = ("lockd", "etcd", "zookeeper", "redis")

    def run(self, stage: Stage) -> None:
        for sessions in stage.scale.sessions:
            self._one(stage, count(sessions, "session"), sessions)
        if stage.service.name == "lockd":
            self._blocking(stage)
        if stage.service.name in ("lockd", "redis"):
            self._unshared(stage)

    def _blocking(self, stage: Stage) -> None:
        """What it costs to do without the completion API."""
        for sessions in stage.scale.sessions:
            self._one(stage, f"{count(sessions, 'session')}, blocking", sessions, api="blocking")

    def _unshared(self, stage: Stage) -> None:
        """What it costs not to share connections, which is how Redis is mostly used and measured."""
        for sessions in stage.scale.sessions:
            if sessions > 16:  # Below, each has one anyway.
                self._one(stage, f"{count(sessions, 'session')}, a handle each", sessions, handles=sessions)

    def _one(self, stage: Stage, case: str, sessions: int, **values: object) -> None:
        trace = CpuTrace(stage.service)
        result = stage.measure("pairs", trace.look, sessions=sessions, **values)
        used, seconds = trace.last(result["seconds"])
        stage.record(case, "pairs", result["per_s"], "1/s")
        stage.record(case, "acquire p50", result["acquire_us"]["p50"], "µs")
        stage.record(case, "acquire p99", result["acquire_us"]["p99"], "µs")
        stage.record(case, "CPU of servers", sum(used.values()) / seconds / result["per_s"] * 1e6, "µs/pair")
