# SPDX-License-Identifier: Apache-2.0
"""Three real nodes and their load, counted from outside while exact portions of work are done."""

import contextlib
import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Iterator

import sockets
import syscalls

HERE = Path(__file__).resolve().parent
NODES = 3
QUIET_S = 0.3
QUIET_WITHIN_S = 20


class Broken(Exception):
    """The cluster or its load did not do what they were asked for."""


@dataclasses.dataclass
class Traced:
    """A process under strace."""

    pid: int
    file: Path

    def size(self) -> int:
        return self.file.stat().st_size

    def switches(self) -> int:
        """How often its threads have gone to sleep and been woken."""
        total = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # A thread that ended meanwhile.
                for line in status.read_text().splitlines():
                    if line.startswith("voluntary_ctxt_switches:"):
                        total += int(line.split()[1])
        return total


class LeaderChanged(Broken):
    """Worth another try."""


@dataclasses.dataclass
class Cost:
    """What one process did during a portion of work."""

    calls: syscalls.Tally
    switches: int
    sent: sockets.Sent


class Cluster:
    """Three nodes; `traced` names the system calls that are written down."""

    def __init__(self, build: Path, traced: str) -> None:
        self._shell = _spawn([str(HERE / "cluster.sh"), str(build), traced], {})
        facts = json.loads(_read_line(self._shell, "the cluster"))
        folder = Path(facts["folder"])
        nodes = [Traced(pid, folder / f"node{i}.calls") for i, pid in enumerate(facts["pids"], 1)]
        self.endpoints: str = facts["endpoints"]
        self._leader_id: int = facts["leader"]
        self.leader = nodes.pop(self._leader_id - 1)
        self.followers = nodes
        self.folder = folder

    def wait_until_quiet(self) -> None:
        """Until nobody writes to a disk any more, as far as the trace of disk calls tells."""
        end = time.monotonic() + QUIET_WITHIN_S
        seen: list[int] = []
        while time.monotonic() < end:
            sizes = [node.size() for node in [self.leader, *self.followers]]
            if sizes == seen:
                return
            seen = sizes
            time.sleep(QUIET_S)
        raise Broken(f"the disks of an idle cluster were not quiet for {QUIET_S} s within {QUIET_WITHIN_S} s")

    def expect_same_leader(self) -> None:
        """On a busy machine a traced leader may be taken for dead. What was counted then belongs to two of them."""
        assert self._shell.stdin
        self._shell.stdin.write("leader\n")
        self._shell.stdin.flush()
        said = _read_line(self._shell, "the cluster")
        if said != f"leader {self._leader_id}":
            raise LeaderChanged(f"node {self._leader_id} led at first, then: {said}")

    def close(self) -> None:
        _end(self._shell)


class Load:
    """counts-load: sessions that work when they are told to."""

    def __init__(self, cluster: Cluster, build: Path, sessions: int, handles: int, ttl_ms: int, traced: str) -> None:
        file = cluster.folder / f"load{sessions}.calls"
        program = [str(build / "bench/counts/counts-load"), str(sessions), str(handles), str(ttl_ms)]
        strace = ["strace", "-D", "-f", "-qq", "-y", "-s", "0", "-e", "signal=none", "-o", str(file)]
        if traced != "all":
            strace += ["--seccomp-bpf", "-e", f"trace={traced}"]
        self._process = _spawn([*strace, *program], {"LOCKD_ENDPOINTS": cluster.endpoints})
        self._expect("ready")
        self.traced = Traced(self._process.pid, file)
        self.sessions = sessions

    def _expect(self, word: str) -> None:
        said = _read_line(self._process, "counts-load")
        if said != word:
            raise Broken(f"counts-load said '{said}' instead of '{word}'")

    def _tell(self, line: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def run_pairs(self, each: int) -> int:
        """Every session acquires and releases so often. Returns the number of operations."""
        self._tell(f"pairs {each}")
        self._expect("done")
        return 2 * each * self.sessions

    def expect_all_safe(self) -> None:
        """Every session's lease runs: all of them are being kept alive."""
        self._tell("safe")
        self._expect(f"safe {self.sessions}")

    def close(self) -> None:
        _end(self._process)


class Window:
    """Counts between begin and end, for each of several processes."""

    def __init__(self, processes: list[Traced]) -> None:
        self._processes = processes
        self._sizes = [process.size() for process in processes]
        self._sent = sockets.read_sent()
        self._switches = [process.switches() for process in processes]

    def end(self) -> list[Cost]:
        switches = [process.switches() for process in self._processes]
        sent = sockets.read_sent()
        costs = []
        for i, process in enumerate(self._processes):
            text = process.file.read_text(errors="replace")
            calls = syscalls.tally(text, self._sizes[i], len(text))
            before = self._sent.get(process.pid, sockets.Sent())
            costs.append(Cost(calls, switches[i] - self._switches[i], sent[process.pid] - before))
        return costs


@contextlib.contextmanager
def cluster(build: Path, traced: str) -> Iterator[Cluster]:
    made = Cluster(build, traced)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def load(on: Cluster, build: Path, sessions: int, handles: int, ttl_ms: int, traced: str) -> Iterator[Load]:
    made = Load(on, build, sessions, handles, ttl_ms, traced)
    try:
        yield made
    finally:
        made.close()


def _spawn(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def _read_line(process: "subprocess.Popen[str]", name: str) -> str:
    """Its next line. It has words of its own for what went wrong, on stderr."""
    assert process.stdout
    line = process.stdout.readline().strip()
    if not line:
        raise Broken(f"{name} ended with status {process.wait()}")
    return line


def _end(process: "subprocess.Popen[str]") -> None:
    """Both programs stop at the end of their stdin and clean up; one that does not is killed."""
    with process:
        assert process.stdin
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
