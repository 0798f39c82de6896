# SPDX-License-Identifier: Apache-2.0
"""Processes that die with the runner, and what /proc tells about them."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import IO, Sequence

PR_SET_PDEATHSIG = 1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LIBC = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something that could not be run; the text says what, and why."""


def _die_with_parent() -> None:
    """Runs between fork and exec. The kernel kills the child when the runner is gone, however it went."""
    if LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        os._exit(126)


def spawn(
    command: Sequence[str],
    *,
    log: Path | None = None,
    folder: Path | None = None,
    environment: dict[str, str] | None = None,
    piped: bool = False,
) -> subprocess.Popen:
    """Starts a program. With `piped` its stdin and stdout are pipes, stderr goes to the log; otherwise both go there.

    It gets a process group of its own: Ctrl-C reaches the runner alone, which then ends everything in its own order.
    """
    out: IO[bytes] | int = open(log, "ab") if log else subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else out,
            stderr=out,
            cwd=folder,
            env={**os.environ, **environment} if environment else None,
            preexec_fn=_die_with_parent,
            process_group=0,
        )
    except FileNotFoundError as error:
        raise Failure(f"cannot start {command[0]}: {error.strerror}") from error
    finally:
        if not isinstance(out, int):
            out.close()


def end(child: subprocess.Popen, how: int = signal.SIGKILL, patience_s: float = 20) -> None:
    """Ends a process, stopped ones too, and waits for it; one that does not heed the signal is killed."""
    if child.poll() is None:
        if how == signal.SIGKILL:
            os.killpg(child.pid, how)  # It can end its own children no more.
        else:
            child.send_signal(how)
            child.send_signal(signal.SIGCONT)
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            pipe.close()


def output(
    command: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    patience_s: float = 10,
    any_status: bool = False,
) -> str:
    """Standard output of a program that is expected to end soon; empty when it did not, or failed.

    With `any_status` what a program printed before it failed counts, too.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment} if environment else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience_s,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace") if any_status or done.returncode == 0 else ""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads."""
    # The name of the program stands in parentheses and may hold blanks: fields are counted behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failure(f"process {pid} has no memory: it is gone")
