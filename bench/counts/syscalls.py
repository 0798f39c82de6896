# SPDX-License-Identifier: Apache-2.0
"""What strace has written down: which calls a process made, on which file, and with what result.

Calls of several threads interleave. One that another thread's call interrupts stands on two lines, "<unfinished ...>"
with its arguments and "<... NAME resumed>" with its result, which belong together again here.
"""

import dataclasses
import re
from typing import Iterable, Iterator

BEGUN = re.compile(r"(\d+) +(\w+)\((?:\d+<([^>]*)>)?")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")
RESULT = re.compile(r"\) += (-?\d+)(?:<[^>]*>)?(?: [A-Z(].*)?$")

SYNCS = frozenset({"fdatasync", "fsync", "syncfs", "sync_file_range", "msync"})
WRITES = frozenset({"pwrite64", "pwritev", "pwritev2", "write", "writev", "sendto", "sendmsg", "sendmmsg"})
READS = frozenset({"read", "readv", "recvfrom", "recvmsg", "recvmmsg"})
WAITS = frozenset({"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"})
DISK = SYNCS | {"pwrite64", "pwritev", "pwritev2", "write", "writev", "ftruncate"}


@dataclasses.dataclass(frozen=True)
class Call:
    """One finished system call."""

    name: str
    file: str  # What its first argument is open on: a path, "socket:[…]", "anon_inode:[…]"; "" if it is no descriptor.
    result: int

    def is_disk_write(self) -> bool:
        """Writes to a file, at whatever offset; sockets and event descriptors are none."""
        return self.name in WRITES and self.file.startswith("/") and not self.file.startswith("/dev/")

    def is_send(self) -> bool:
        return self.name in WRITES and self.file.startswith("socket:")

    def is_receive(self) -> bool:
        return self.name in READS and self.file.startswith("socket:")


def read_calls(lines: Iterable[str]) -> Iterator[Call | None]:
    """For each line the call that it finishes, or None. Calls that never return (exit) finish nowhere."""
    unfinished: dict[str, str] = {}
    for line in lines:
        begun = BEGUN.match(line)
        resumed = None if begun else RESUMED.match(line)
        if begun and line.rstrip().endswith("<unfinished ...>"):
            unfinished[begun[1]] = begun[3] or ""
            yield None
            continue
        result = RESULT.search(line.rstrip())
        if begun and result:
            yield Call(begun[2], begun[3] or "", int(result[1]))
        elif resumed and result:
            yield Call(resumed[2], unfinished.pop(resumed[1], ""), int(result[1]))
        else:
            yield None


@dataclasses.dataclass
class Tally:
    """Calls of a stretch of the trace, by what they are for."""

    calls: int = 0
    syncs: int = 0
    disk_writes: int = 0
    disk_bytes: int = 0
    sends: int = 0
    receives: int = 0
    waits: int = 0
    futexes: int = 0

    def add(self, call: Call) -> None:
        self.calls += 1
        self.syncs += call.name in SYNCS
        self.sends += call.is_send()
        self.receives += call.is_receive()
        self.waits += call.name in WAITS
        self.futexes += call.name == "futex"
        if call.is_disk_write():
            self.disk_writes += 1
            self.disk_bytes += max(call.result, 0)


def tally(text: str, begin: int, end: int) -> Tally:
    """The calls that finish between two offsets. What stands before is read as well: calls may have begun there."""
    counted = Tally()
    at = 0
    lines = text[:end].splitlines(keepends=True)
    for line, call in zip(lines, read_calls(lines)):
        at += len(line)
        if call and at > begin:
            counted.add(call)
    return counted
