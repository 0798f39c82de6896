#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: Apache-2.0
"""Counts what lockd's operations cost and holds the counts against bench/bounds.json.

Time says how busy a machine is; synced writes, system calls, bytes, allocations and instructions per operation say what
the program does. An operation is one acquire or one release, each of which is a replicated, durable command. Exit status:
0 all within bounds, 1 not, 2 the measurement failed, 64 wrong arguments, 77 no process may be traced here (the counts of
the pure core were within their bounds).
"""

import argparse
import concurrent.futures
import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import bounds
import callgrind
import cluster
import syscalls

ROOT = Path(__file__).resolve().parents[2]
TRIES = 3  # Of a cluster whose leader changes.
UPDATE_RUNS = 3  # A bound is set from the largest of so many measurements.

DISK = ",".join(sorted(syscalls.DISK))
HANDLES = 16
MANY = 64
IDLE_SESSIONS = 1000
IDLE_TTL_MS = 9000

# What is counted, by the first part of the counts' names: on a cluster whose disk calls are traced, on one all of whose
# calls are, and without any process (runs of counts-core: workload, sessions, how often at most, operations in one).
QUIET = ("one", "many", "idle")
TRACED = ("calls_one", "calls_many", "keepalive")
CORE = {
    "core_one": ("pairs", 1, 500, 2),
    "core_many": ("pairs", MANY, 3840, 2),
    "core_keepalive": ("keepalives", IDLE_SESSIONS, 20000, 1),
}
CORE_KEYS = ("instructions", "allocations", "client_bytes", "peer_frames", "peer_bytes", "log_bytes", "saves")
HOLD = ("hold",)
ALL = frozenset((*QUIET, *TRACED, *CORE, *HOLD))

Counts = dict[str, float]


def disk_counts(cost: cluster.Cost, operations: int) -> Counts:
    """Of a node whose other calls were left alone, so that its batches are as large as ever."""
    return {
        "syncs": cost.calls.syncs / operations,
        "disk_writes": cost.calls.disk_writes / operations,
        "disk_bytes": cost.calls.disk_bytes / operations,
        **quiet_counts(cost, operations),
    }


def quiet_counts(cost: cluster.Cost, operations: int) -> Counts:
    """Those for which nobody has to be stopped."""
    return {
        "segments": cost.sent.segments / operations,
        "sent_bytes": cost.sent.bytes / operations,
        "switches": cost.switches / operations,
    }


def call_counts(cost: cluster.Cost, operations: int) -> Counts:
    """Of a process all of whose calls were traced."""
    return {
        "calls": cost.calls.calls / operations,
        "sends": cost.calls.sends / operations,
        "receives": cost.calls.receives / operations,
        "waits": cost.calls.waits / operations,
        "futexes": cost.calls.futexes / operations,
    }


def mean(counts: list[Counts]) -> Counts:
    return {key: sum(count[key] for count in counts) / len(counts) for key in counts[0]}


def named(prefix: str, counts: Counts) -> Counts:
    return {f"{prefix}.{key}": value for key, value in counts.items()}


def count_portion(on: cluster.Cluster, load: cluster.Load, each: int) -> tuple[int, list[cluster.Cost]]:
    """Operations, and the cost of leader, followers and client, in this order."""
    load.run_pairs(5)
    window = cluster.Window([on.leader, *on.followers, load.traced])
    operations = load.run_pairs(each)
    return operations, window.end()


def count_disks(build: Path, on: cluster.Cluster, prefix: str, sessions: int, each: int) -> Counts:
    with cluster.load(on, build, sessions, min(sessions, HANDLES), 30000, DISK) as load:
        operations, (leader, *followers, client) = count_portion(on, load, each)
    return {
        **named(f"{prefix}.leader", disk_counts(leader, operations)),
        **named(f"{prefix}.follower", mean([disk_counts(cost, operations) for cost in followers])),
        **named(f"{prefix}.client", quiet_counts(client, operations)),
    }


def count_calls(build: Path, on: cluster.Cluster, prefix: str, sessions: int, each: int) -> Counts:
    with cluster.load(on, build, sessions, min(sessions, HANDLES), 30000, "all") as load:
        operations, (leader, *followers, client) = count_portion(on, load, each)
    return {
        **named(f"{prefix}.leader", call_counts(leader, operations)),
        **named(f"{prefix}.follower", mean([call_counts(cost, operations) for cost in followers])),
        **named(f"{prefix}.client", call_counts(client, operations)),
    }


def count_idle(build: Path, on: cluster.Cluster) -> Counts:
    """Disk calls of all nodes while every one of many sessions is kept alive for longer than its lease."""
    with cluster.load(on, build, IDLE_SESSIONS, HANDLES, IDLE_TTL_MS, DISK) as load:
        on.wait_until_quiet()
        window = cluster.Window([on.leader, *on.followers])
        time.sleep(1.1 * IDLE_TTL_MS / 1000)
        costs = window.end()
        load.expect_all_safe()
    return {
        "idle.nodes.syncs": sum(cost.calls.syncs for cost in costs),
        "idle.nodes.disk_writes": sum(cost.calls.disk_writes for cost in costs),
    }


def count_keepalives(build: Path, on: cluster.Cluster) -> Counts:
    """What the leader does for one keep-alive, which renews all sessions of a handle. The client sends nothing else."""
    with cluster.load(on, build, MANY, HANDLES, 3000, "all") as load:
        window = cluster.Window([on.leader, load.traced])
        time.sleep(2)
        leader, client = window.end()
        load.expect_all_safe()
    if client.calls.sends == 0:
        raise cluster.Broken("no keep-alive was sent in 2 s, though leases last 3 s")
    return {"keepalive.leader.calls": leader.calls.calls / client.calls.sends}


def count_quiet_cluster(build: Path, wanted: frozenset[str]) -> Counts:
    """Only what would touch a disk is traced, so that nodes and load keep their pace."""
    counts: Counts = {}
    with cluster.cluster(build, DISK) as on:
        if "one" in wanted:
            counts |= count_disks(build, on, "one", 1, 300)
        if "many" in wanted:
            counts |= count_disks(build, on, "many", MANY, 40)
        if "idle" in wanted:
            counts |= count_idle(build, on)
        on.expect_same_leader()
    return counts


def count_traced_cluster(build: Path, wanted: frozenset[str]) -> Counts:
    """Every call is traced, which makes all of it slow; what is counted are calls."""
    counts: Counts = {}
    with cluster.cluster(build, "all") as on:
        if "calls_one" in wanted:
            counts |= count_calls(build, on, "calls_one", 1, 100)
        if "calls_many" in wanted:
            counts |= count_calls(build, on, "calls_many", MANY, 10)
        if "keepalive" in wanted:
            counts |= count_keepalives(build, on)
        on.expect_same_leader()
    return counts


def count_settled(count: Callable[[Path, frozenset[str]], Counts], build: Path, wanted: frozenset[str]) -> Counts:
    """What was counted while one node led all the time."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(cluster.LeaderChanged):
            return count(build, wanted)
    return count(build, wanted)


def count_clusters(build: Path, wanted: frozenset[str]) -> Counts:
    counts: Counts = {}
    if wanted & set(QUIET):
        counts |= count_settled(count_quiet_cluster, build, wanted)
    if wanted & set(TRACED):
        counts |= count_settled(count_traced_cluster, build, wanted)
    return counts


def count_core(build: Path, wanted: frozenset[str]) -> Counts:
    """The pure part, on the leader and both followers together: no system call, the same on each run."""
    program = str(build / "bench/counts/counts-core")
    counts: Counts = {}
    for name, (workload, sessions, most, parts) in CORE.items():
        if name not in wanted:
            continue
        fewer, more = (
            callgrind.run([program, workload, str(n), "--sessions", str(sessions)]) for n in (most // 2, most)
        )
        per_unit = callgrind.difference(fewer, more)
        counts |= {f"{name}.{key}": per_unit[key] / parts for key in CORE_KEYS}
    if "hold" in wanted:
        held = subprocess.run([program, "hold", "100000"], check=True, capture_output=True, text=True)
        counts["hold.heap_bytes"] = json.loads(held.stdout)["heap_bytes_per_lock"]
    return counts


def may_trace() -> bool:
    """Containers may forbid it."""
    return subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def measure(build: Path, wanted: frozenset[str]) -> Counts:
    """Both halves at the same time: one waits for disks and leases, the other one is counted by instructions."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as other:
        core = other.submit(count_core, build, wanted)
        counts = count_clusters(build, wanted)
        return {**counts, **core.result()}


def largest(runs: list[Counts]) -> Counts:
    return {name: max(run[name] for run in runs) for name in runs[0]}


def print_table(stored: dict[str, bounds.Bound], measured: Counts) -> None:
    print(f"{'count':<32} {'measured':>10} {'bound':>10}  means")
    for name, value in measured.items():
        bound = stored.get(name)
        print(f"{name:<32} {value:>10.4g} {bound.bound if bound else 0:>10.4g}  {bound.means if bound else ''}")


def parse_only(text: str) -> frozenset[str]:
    wanted = frozenset(text.split(","))
    if not wanted <= ALL:
        raise argparse.ArgumentTypeError(f"one or more of {', '.join(sorted(ALL))}, separated by commas")
    return wanted


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check.py", description="Holds counts per operation against stored bounds.")
    parser.add_argument("--build", type=Path, default=ROOT / "build/release", help="folder that lockd was built in")
    parser.add_argument("--bounds", type=Path, default=ROOT / "bench/bounds.json", help="file with the bounds")
    parser.add_argument("--only", type=parse_only, default=ALL, help="count only these: " + ", ".join(sorted(ALL)))
    parser.add_argument("--update", action="store_true", help="set the bounds from what is measured, with margins")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")
    try:
        return parser.parse_args(arguments)
    except SystemExit as end:
        sys.exit(64 if end.code else 0)


def find_missing(build: Path, wanted: frozenset[str]) -> str | None:
    """What has to be built or installed first."""
    programs: list[str] = []
    tools: list[str] = []
    if wanted & {*QUIET, *TRACED}:
        programs += ["lockd/lockd", "cli/lockctl", "bench/counts/counts-load"]
        tools += ["strace", "ss", "jq"]
    if wanted & {*CORE, *HOLD}:
        programs += ["bench/counts/counts-core"]
        tools += ["valgrind"]
    for program in programs:
        if not (build / program).exists():
            return f"{build / program} is not there: build it first, or name another folder with --build"
    for tool in tools:
        if not shutil.which(tool):
            return f"{tool} is not installed: scripts/packages.sh installs it"
    return None


def print_counts(stored: dict[str, bounds.Bound], measured: Counts, as_json: bool) -> None:
    if as_json:
        print(json.dumps(measured, indent=2))
    else:
        print_table(stored, measured)


def report(stored: dict[str, bounds.Bound], measured: Counts, counted: frozenset[str], left_out: bool) -> int:
    faults = bounds.judge(stored, measured, counted)
    for fault in faults:
        print(f"check: {fault}", file=sys.stderr)
    if faults:
        return 1
    if left_out:
        print("check: no process may trace another one here: system calls were not counted", file=sys.stderr)
        return 77
    return 0


def measure_for(flags: argparse.Namespace, stored: dict[str, bounds.Bound], wanted: frozenset[str]) -> Counts:
    """One measurement is held against bounds; for setting them the largest of several counts."""
    if not flags.update:
        return measure(flags.build, wanted)
    measured = largest([measure(flags.build, wanted) for _ in range(UPDATE_RUNS)])
    bounds.update(stored, measured)
    bounds.save(flags.bounds, stored)
    return measured


def main(arguments: list[str]) -> int:
    flags = parse_arguments(arguments)
    missing = find_missing(flags.build, flags.only)
    if missing:
        print(f"check: {missing}", file=sys.stderr)
        return 2
    stored = bounds.load(flags.bounds)
    wanted: frozenset[str] = flags.only
    countable = wanted if may_trace() else wanted - {*QUIET, *TRACED}
    try:
        measured = measure_for(flags, stored, countable)
    except (cluster.Broken, callgrind.NoTotal, subprocess.CalledProcessError) as error:
        print(f"check: the measurement failed: {error}", file=sys.stderr)
        return 2
    print_counts(stored, measured, flags.json)
    return report(stored, measured, countable, countable != wanted)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
