# SPDX-License-Identifier: Apache-2.0
"""What clients notice when the leader goes."""

import signal
import time

from sidebyside.workload import Stage, Workload

SESSIONS = 4
# How long pairs run undisturbed before the leader is hit.
BEFORE_S = 2.0
# How long they are watched, by what a service needs at its defaults: etcd's election takes more than a second and a
# client may be stuck to a stopped member; ZooKeeper gives a silent leader syncLimit ticks, 10 s.
WATCHED_S = {
    "lockd": {"kill -9": 5, "SIGTERM": 5, "SIGSTOP": 6},
    "etcd": {"kill -9": 8, "SIGTERM": 8, "SIGSTOP": 15},
    "zookeeper": {"kill -9": 15, "SIGTERM": 15, "SIGSTOP": 35},
}
SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGSTOP": signal.SIGSTOP}


class Gap(Workload):
    """The longest time without any finished pair. The clients live on: locks of dead ones would wait for their TTL."""

    name = "gap"
    about = "pairs at 4 sessions while the leader gets SIGKILL, SIGTERM or SIGSTOP: how long nobody gets a lock"

    def run(self, stage: Stage) -> None:
        for case in SIGNALS:
            times = stage.scale.kills if case == "kill -9" else stage.scale.stops
            for _ in range(times):
                self._one(stage, case)

    def _one(self, stage: Stage, case: str) -> None:
        seconds = WATCHED_S[stage.service.name][case]
        leader = stage.service.find_leader()
        hit: list[float] = []

        def strike() -> None:
            if not hit and time.monotonic() - began >= BEFORE_S:
                hit.append(time.monotonic())
                stage.service.signal_node(leader, SIGNALS[case])

        with stage.load("gap", sessions=SESSIONS, seconds=seconds) as generator:
            began = time.monotonic()
            result = generator.line(strike)
            ended = time.monotonic()
            generator.wait()
        stage.service.revive()
        stage.record(case, "gap", result["gap_ms"], "ms")
        if result["at_s"] + result["gap_ms"] / 1000 > ended - 0.2:
            stage.note(f"{case}: nothing was finished after the gap in {seconds} s: it is longer than told")
        if result["at_s"] + result["gap_ms"] / 1000 < hit[0]:
            stage.note(f"{case}: the longest gap was before the leader was hit; that after it is shorter than told")
