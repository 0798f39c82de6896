# SPDX-License-Identifier: Apache-2.0
"""Instructions per operation: a program runs twice under callgrind, for different numbers of operations. What it takes
to start is in both, and falls out of the difference."""

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


class NoTotal(Exception):
    """callgrind's file does not say how much was executed."""


def parse_instructions(text: str) -> int:
    found = TOTALS.search(text)
    if not found:
        raise NoTotal("callgrind's output has no line 'totals:'")
    return int(found[1])


def run(command: list[str]) -> tuple[int, dict[str, Any]]:
    """Instructions of the whole run, and the line of JSON that the program prints."""
    with tempfile.TemporaryDirectory(prefix="lockd-callgrind.") as folder:
        out = Path(folder) / "out"
        valgrind = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}"]
        done = subprocess.run([*valgrind, *command], check=True, capture_output=True, text=True)
        return parse_instructions(out.read_text()), json.loads(done.stdout)


def difference(fewer: tuple[int, dict[str, Any]], more: tuple[int, dict[str, Any]]) -> dict[str, float]:
    """Per operation: instructions, and every number of the line that grows with the operations."""
    operations = more[1]["operations"] - fewer[1]["operations"]
    counts = {"instructions": (more[0] - fewer[0]) / operations}
    for key, value in more[1].items():
        if isinstance(value, int) and key not in ("operations", "sessions"):
            counts[key] = (value - fewer[1][key]) / operations
    return counts
