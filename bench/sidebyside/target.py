# SPDX-License-Identifier: Apache-2.0
"""What lockd is meant to reach, and whether it did."""

from dataclasses import dataclass
from typing import Callable

from sidebyside.sample import Key, Samples


@dataclass(frozen=True)
class Target:
    """A figure that is made of medians, and its bound if it has one; `value` is None where samples are missing."""

    text: str
    bound: float | None
    at_least: bool
    value: Callable[[Samples], float | None]

    def verdict(self, samples: Samples) -> tuple[float | None, str]:
        """The figure, and `met`, `missed`, `not measured`, or nothing where there is no bound."""
        value = self.value(samples)
        if value is None:
            return None, "not measured"
        if self.bound is None:
            return value, ""
        met = value >= self.bound if self.at_least else value <= self.bound
        return value, "met" if met else "missed"


def _times(text: str, bound: float, key: Key, other: str) -> Target:
    return Target(text, bound, True, lambda samples: samples.ratio(key, "lockd", other))


def _at_most(text: str, bound: float, key: Key) -> Target:
    return Target(text, bound, False, lambda samples: samples.median(key, "lockd"))


def _handoffs_per_acquire(samples: Samples) -> float | None:
    """Hand-offs in the time of one undisturbed acquire."""
    rate = samples.median(Key("handoff", "16 sessions", "hand-offs"), "lockd")
    acquire_us = samples.median(Key("pairs", "1 session", "acquire p50"), "lockd")
    return rate * acquire_us / 1e6 if rate is not None and acquire_us is not None else None


def _over(ours: Key, theirs: Key, other: str) -> Callable[[Samples], float | None]:
    """lockd in one case over another service in another."""

    def value(samples: Samples) -> float | None:
        figure, base = samples.median(ours, "lockd"), samples.median(theirs, other)
        return figure / base if figure is not None and base else None

    return value


def _over_floor(case: str) -> Callable[[Samples], float | None]:
    return _over(Key("pairs", "1 session", "acquire p50"), Key("floor", case, "p50"), "floor")


def _against(case: str, other: str, key: Callable[[str], Key]) -> Callable[[Samples], float | None]:
    """lockd in one case over lockd in another."""
    return _over(key(case), key(other), "lockd")


def _pairs(sessions: str) -> Key:
    return Key("pairs", sessions, "pairs")


def _crowd(locks: str) -> Key:
    return Key("crowd", locks, "pairs")


def _expiry(when: str) -> Key:
    return Key("expiry", when, "acquire p99")


TARGETS = [
    _times("pairs at 1 session over etcd", 2.5, _pairs("1 session"), "etcd"),
    _times("pairs at 64 sessions over etcd", 8, _pairs("64 sessions"), "etcd"),
    _times("pairs at 256 sessions over etcd", 20, _pairs("256 sessions"), "etcd"),
    _times(
        "pairs at 256 sessions over unreplicated Redis, pipelined over as many connections",
        1,
        _pairs("256 sessions"),
        "redis",
    ),
    Target(
        "pairs at 256 sessions over unreplicated Redis, a connection per client",
        1,
        True,
        _over(_pairs("256 sessions"), _pairs("256 sessions, a handle each"), "redis"),
    ),
    _times("hand-offs at 16 sessions over etcd", 8, Key("handoff", "16 sessions", "hand-offs"), "etcd"),
    _times("hand-offs at 16 sessions over ZooKeeper", 4, Key("handoff", "16 sessions", "hand-offs"), "zookeeper"),
    Target("hand-offs in the time of one acquire", 0.9, True, _handoffs_per_acquire),
    _times("keep-alives in a second over etcd", 20, Key("keepalive", "the most of these", "keep-alives"), "etcd"),
    _at_most(
        "share of a core, 100,000 sessions at TTL 30 s",
        30,
        Key("keepalive", "100,000 sessions, TTL 30 s", "CPU of leader"),
    ),
    Target("acquire p50 over the floor", 1.5, False, _over_floor("one acquire")),
    Target("acquire p50 over the floor over nng", None, False, _over_floor("one acquire over nng")),
    _at_most("gap after kill -9 of the leader, ms", 300, Key("gap", "kill -9", "gap")),
    _at_most("gap after SIGTERM to the leader, ms", 50, Key("gap", "SIGTERM", "gap")),
    _at_most("bytes of memory per held lock", 300, Key("million", "1,000,000 locks", "memory per lock")),
    _at_most("restart with 1,000,000 locks, s", 3, Key("million", "1,000,000 locks", "restart")),
    _at_most("100,000 expiries drained, s", 3, Key("expiry", "100,000 sessions", "drained")),
    Target(
        "acquire p99 during expiries over quiet",
        3,
        False,
        _against("4 sessions during 100,000", "4 sessions quiet", _expiry),
    ),
    Target(
        "pairs at 1,000,000 held locks over 1,000 held", 0.8, True, _against("1,000,000 held", "1,000 held", _crowd)
    ),
]
