# SPDX-License-Identifier: Apache-2.0
"""Very many sessions that die at once."""

import time

from sidebyside.process import Failure
from sidebyside.workload import Stage, Workload, count

SESSIONS = 4
FOREGROUND_S = 1.0
TTL_MS = 10_000
# TTL, the time by which a service may be late, and its own rate: etcd revokes a thousand leases in a second.
PATIENCE_S = 180


class Expiry(Workload):
    """How fast their locks become free, and what others notice meanwhile."""

    name = "expiry"
    about = "100,000 sessions with a lock each are killed (etcd 10,000, ZooKeeper 1,000): time to drain, p99 of others"

    def run(self, stage: Stage) -> None:
        sessions = stage.scale.expiring[stage.service.name]
        quiet = stage.measure("pairs", sessions=SESSIONS, prefix="others")
        stage.record(f"{count(SESSIONS, 'session')} quiet", "acquire p99", quiet["acquire_us"]["p99"], "µs")
        # A session of ZooKeeper is a connection; those of the others are spread over few.
        spread = {"handles": sessions} if stage.service.name == "zookeeper" else {}
        with stage.load("idle", sessions=sessions, ttl_ms=TTL_MS, **spread) as generator:
            generator.line()
            stage.service.wait_quiet()
            generator.kill()
        self._watch(stage, sessions)

    @staticmethod
    def _watch(stage: Stage, sessions: int) -> None:
        """Runs pairs in slices until all are gone; those during which locks fell free count as `during`."""
        held: list[tuple[float, int]] = []

        def look() -> None:
            held.append((time.monotonic(), stage.service.held()))

        slices: list[tuple[float, float, float]] = []  # begin, end, p99
        until = time.monotonic() + PATIENCE_S
        while not held or held[-1][1] > SESSIONS:
            if time.monotonic() > until:
                raise Failure(f"{held[-1][1]} of {sessions} locks are held {PATIENCE_S} s after their holders died")
            began = time.monotonic()
            with stage.load("pairs", sessions=SESSIONS, seconds=FOREGROUND_S, warmup=0, prefix="others") as generator:
                result = generator.line(look)
                generator.wait()
            slices.append((began, time.monotonic(), result["acquire_us"]["p99"]))
        first = max((at for at, left in held if left >= sessions), default=held[0][0])
        last = next(at for at, left in held if left <= SESSIONS)
        during = [p99 for began, ended, p99 in slices if ended >= first and began <= last]
        stage.record(count(sessions, "session"), "drained", last - first, "s")
        stage.record(f"{count(SESSIONS, 'session')} during {sessions:,}", "acquire p99", max(during), "µs")
