# SPDX-License-Identifier: Apache-2.0
"""What the kernel has sent for a process, connection by connection, as ss(8) tells; asking disturbs nobody."""

import dataclasses
import re
import subprocess

OWNER = re.compile(r"\bpid=(\d+)\b")
BYTES = re.compile(r"\bbytes_sent:(\d+)\b")
SEGMENTS = re.compile(r"\bdata_segs_out:(\d+)\b")


@dataclasses.dataclass(frozen=True)
class Sent:
    """Data that left through sockets. On loopback a segment holds 64 KiB, so that each send makes one or more."""

    segments: int = 0
    bytes: int = 0

    def __add__(self, other: "Sent") -> "Sent":
        return Sent(self.segments + other.segments, self.bytes + other.bytes)

    def __sub__(self, other: "Sent") -> "Sent":
        return Sent(self.segments - other.segments, self.bytes - other.bytes)


def _number(pattern: re.Pattern[str], line: str) -> int:
    """ss leaves out what is zero."""
    found = pattern.search(line)
    return int(found[1]) if found else 0


def parse(text: str) -> dict[int, Sent]:
    """Sum over the established connections of each process."""
    sums: dict[int, Sent] = {}
    for line in text.splitlines():
        owner = OWNER.search(line)
        if owner:
            pid = int(owner[1])
            sums[pid] = sums.get(pid, Sent()) + Sent(_number(SEGMENTS, line), _number(BYTES, line))
    return sums


def read_sent() -> dict[int, Sent]:
    command = ["ss", "--tcp", "--info", "--processes", "--numeric", "--no-header", "--oneline", "state", "established"]
    return parse(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
