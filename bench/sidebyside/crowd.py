# SPDX-License-Identifier: Apache-2.0
"""Whether many held locks make others slower."""

import contextlib

from sidebyside.hold import PATIENCE_S, SESSIONS, TTL_MS
from sidebyside.service import wait_until
from sidebyside.workload import Stage, Workload

PAIRS_SESSIONS = 64


class Crowd(Workload):
    """The same pairs beside more and more locks that are held."""

    name = "crowd"
    about = "pairs at 64 sessions beside 1,000 to 1,000,000 held locks: must stay the same"
    services = ("lockd",)

    def run(self, stage: Stage) -> None:
        held = 0
        with contextlib.ExitStack() as holders:
            for locks in stage.scale.crowds:
                more = locks - held
                generator = stage.load("hold", sessions=SESSIONS, locks=more, ttl_ms=TTL_MS, prefix=f"crowd{locks}")
                holders.enter_context(generator).line()
                held = locks
                wait_until(lambda: stage.service.held() >= held, f"lockd: {held} locks held", PATIENCE_S)
                stage.service.wait_quiet()
                result = stage.measure("pairs", sessions=PAIRS_SESSIONS)
                stage.record(f"{locks:,} held", "pairs", result["per_s"], "1/s")
                stage.record(f"{locks:,} held", "acquire p50", result["acquire_us"]["p50"], "µs")
                stage.record(f"{locks:,} held", "acquire p99", result["acquire_us"]["p99"], "µs")
