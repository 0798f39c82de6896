# SPDX-License-Identifier: Apache-2.0
"""The picture: bars side by side, drawn by gnuplot."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sidebyside.process import Failure
from sidebyside.sample import Key, Samples

COLOURS = {"lockd": "#0b6e4f", "etcd": "#4f81bd", "zookeeper": "#d98324", "redis": "#b03a2e", "floor": "#777777"}


@dataclass(frozen=True)
class Panel:
    """One of the four: the cases of one figure of one workload."""

    workload: str
    metric: str
    title: str


PANELS = [
    Panel("pairs", "pairs", "Acquire and release of own locks, pairs/s (more is better)"),
    Panel("handoff", "hand-offs", "One lock handed from session to session, per second (more is better)"),
    Panel("pairs", "acquire p50", "Median time of an acquire, µs (less is better)"),
    Panel("gap", "gap", "Longest time without a lock after the leader gets …, ms (less is better)"),
]


def _data(samples: Samples, keys: list[Key], services: list[str]) -> str:
    """A line per case: its name, then median, low and high of each service."""
    lines = []
    peers = [service for service in services if service != "lockd"]
    for key in keys:
        if 2 * sum(samples.summary(key, peer) is not None for peer in peers) < len(peers):
            continue  # What most of them have not is in the table.
        cells = []
        for service in services:
            summary = samples.summary(key, service)
            cells.append(f"{summary.median:g} {summary.low:g} {summary.high:g}" if summary else "- - -")
        lines.append(f'"{key.case}" {" ".join(cells)}\n')
    return "".join(lines)


def _plot(samples: Samples, panel: Panel) -> str:
    keys = [key for key in samples.keys() if (key.workload, key.metric) == (panel.workload, panel.metric)]
    services = [service for service in COLOURS if any(samples.summary(key, service) for key in keys)]
    data = _data(samples, keys, services)
    if not data:
        return ""
    curves = []
    for index, service in enumerate(services):
        column = 2 + 3 * index
        curves.append(
            f"$data using {column}:{column + 1}:{column + 2}:xtic(1) title '{service}' lc rgb '{COLOURS[service]}'"
        )
    return f"$data << EOD\n{data}EOD\nset title \"{panel.title}\"\nplot {', '.join(curves)}\n"


def script(samples: Samples, path: Path, caption: str) -> str:
    """What gnuplot is told; empty when there is nothing to draw."""
    plots = [text for text in (_plot(samples, panel) for panel in PANELS) if text]
    if not plots:
        return ""
    rows = (len(plots) + 1) // 2
    quoted = caption.replace('"', "'")
    head = f"""\
set terminal svg size 1200,{80 + 360 * rows} font "sans-serif,13" background rgb "white"
set output "{path}"
set datafile missing "-"
set encoding utf8
set style data histograms
set style histogram errorbars gap 1 lw 1
set style fill solid 0.9 noborder
set logscale y
set grid ytics lc rgb "#dddddd"
set errorbars 0.4 front lc rgb "#333333"
set key outside bottom center horizontal
set yrange [1:*]
set multiplot layout {rows},{min(2, len(plots))} title "{quoted}"
"""
    return head + "".join(plots) + "unset multiplot\n"


def draw(samples: Samples, path: Path, caption: str) -> bool:
    """Writes the picture; False when none of its figures was measured."""
    text = script(samples, path, caption)
    if not text:
        return False
    try:
        done = subprocess.run(["gnuplot"], input=text.encode(), capture_output=True, timeout=60)
    except OSError as error:
        raise Failure(f"cannot draw: gnuplot: {error.strerror}") from error
    if done.returncode != 0:
        raise Failure(f"cannot draw: gnuplot: {done.stderr.decode(errors='replace').strip()}")
    return True
