# SPDX-License-Identifier: Apache-2.0
"""Samples, and what is made of them: medians, spread, ratios."""

import statistics
from dataclasses import dataclass
from typing import Iterable, NamedTuple


class Key(NamedTuple):
    """What was measured; every service has samples of its own under it."""

    workload: str
    case: str
    metric: str


@dataclass(frozen=True)
class Sample:
    """One value of one service in one round."""

    key: Key
    service: str
    round: int
    value: float
    unit: str


@dataclass(frozen=True)
class Summary:
    """Samples of one service under one key."""

    median: float
    low: float
    high: float
    count: int


class Samples:
    """All samples of a run, in the order in which they were taken."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self.all = list(samples)

    def add(self, sample: Sample) -> None:
        """Appends one."""
        self.all.append(sample)

    def keys(self) -> list[Key]:
        """In the order in which they first appeared."""
        return list(dict.fromkeys(sample.key for sample in self.all))

    def services(self) -> list[str]:
        """Likewise: the rounds begin with different ones, the first with lockd."""
        return list(dict.fromkeys(sample.service for sample in self.all))

    def unit(self, key: Key) -> str:
        """Of the values under this key."""
        return next(sample.unit for sample in self.all if sample.key == key)

    def summary(self, key: Key, service: str) -> Summary | None:
        """Median and spread; None when this service has no sample there."""
        values = [sample.value for sample in self.all if sample.key == key and sample.service == service]
        if not values:
            return None
        return Summary(statistics.median(values), min(values), max(values), len(values))

    def median(self, key: Key, service: str) -> float | None:
        """The median alone."""
        summary = self.summary(key, service)
        return summary.median if summary else None

    def ratio(self, key: Key, service: str, other: str) -> float | None:
        """Median of one over the median of another; None unless both are there and can be divided."""
        ours, theirs = self.median(key, service), self.median(key, other)
        return ours / theirs if ours is not None and theirs else None
