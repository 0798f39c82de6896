# SPDX-License-Identifier: Apache-2.0
"""Aligned text of what was measured."""

from typing import Sequence

from sidebyside.sample import Samples, Summary
from sidebyside.target import Target

OURS = "lockd"


def number(value: float) -> str:
    """Three significant digits at least, with commas: 0.125, 12.5, 1,250."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def with_spread(summary: Summary | None) -> str:
    """`median (low–high)`; the median alone where there is only one sample."""
    if summary is None:
        return "-"
    if summary.count == 1:
        return number(summary.median)
    return f"{number(summary.median)} ({number(summary.low)}–{number(summary.high)})"


def align(rows: Sequence[Sequence[str]], left: int) -> str:
    """Columns as wide as their widest cell; the first `left` begin where they begin, the others end where they end."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def figures(samples: Samples) -> str:
    """A table per workload."""
    workloads = dict.fromkeys(key.workload for key in samples.keys())
    return "\n\n".join(_of_workload(samples, workload) for workload in workloads)


def _of_workload(samples: Samples, workload: str) -> str:
    """A row per figure, a column per service that took part, and lockd's ratio to each of the others."""
    keys = [key for key in samples.keys() if key.workload == workload]
    services = [service for service in samples.services() if any(samples.summary(key, service) for key in keys)]
    peers = [service for service in services if service != OURS] if OURS in services else []
    rows = [[workload, "figure", "unit", *services, *(f"{OURS}:{peer}" for peer in peers)]]
    for key in keys:
        cells = [with_spread(samples.summary(key, service)) for service in services]
        ratios = [samples.ratio(key, OURS, peer) for peer in peers]
        shown = ["-" if ratio is None else f"{number(ratio)}×" for ratio in ratios]
        rows.append([key.case, key.metric, samples.unit(key), *cells, *shown])
    return align(rows, left=3)


def bound(target: Target) -> str:
    """`≥ 8`, `≤ 30`; `-` where there is none."""
    return "-" if target.bound is None else f"{'≥' if target.at_least else '≤'} {target.bound:g}"


def targets(samples: Samples, wanted: Sequence[Target]) -> str:
    """A row per target: what was wanted, what came out, whether it is met."""
    rows = [["target", "wanted", "measured", ""]]
    for target in wanted:
        value, verdict = target.verdict(samples)
        rows.append([target.text, bound(target), "-" if value is None else number(value), verdict])
    return align(rows, left=1)
