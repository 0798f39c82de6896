# SPDX-License-Identifier: Apache-2.0
"""Tests of what reads the counts and of what judges them; the counting itself needs a cluster and is bench.counts."""

import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import bounds
import callgrind
import check
import sockets
import syscalls

# Two threads whose calls interleave, as strace -f -y writes them.
TRACE = """\
11 pwrite64(7</data/raft.db-wal>, ""..., 4096, 32) = 4096
11 fdatasync(7</data/raft.db-wal> <unfinished ...>
12 sendmsg(16<socket:[54]>, {msg_name=NULL, msg_iov=[...]}, MSG_NOSIGNAL <unfinished ...>
11 <... fdatasync resumed>)          = 0
12 <... sendmsg resumed>)            = 41
12 readv(18<socket:[55]>, [...], 1)  = -1 EAGAIN (Resource temporarily unavailable)
12 write(9<anon_inode:[eventfd]>, ""..., 8) = 8
13 epoll_wait(11<anon_inode:[eventpoll]>, [...], 64, -1) = 1
12 futex(0x55, FUTEX_WAKE_PRIVATE, 1) = 1
13 futex(0x56, FUTEX_WAIT_PRIVATE, 2, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)
12 openat(AT_FDCWD</data>, "x", O_RDONLY) = 20</data/x>
13 exit(0)                           = ?
"""

CONNECTIONS = """\
0 0 127.0.0.1:1 127.0.0.1:2 users:(("lockd",pid=5,fd=7)) cubic bytes_sent:100 bytes_acked:100 segs_out:9 data_segs_out:3
0 0 127.0.0.1:3 127.0.0.1:4 users:(("lockd",pid=5,fd=8)) cubic bytes_sent:50 segs_out:2 data_segs_out:1
0 0 127.0.0.1:2 127.0.0.1:1 users:(("load",pid=6,fd=3)) cubic bytes_acked:1 segs_out:4
0 0 127.0.0.1:9 127.0.0.1:8 cubic bytes_sent:1000 data_segs_out:10
"""


def bound(name: str, limit: float, at_least: float | None = None) -> bounds.Bound:
    return bounds.Bound(
        name, means="what it is", look_at="some.c", margin=0.5, measured=limit / 1.5, bound=limit, at_least=at_least
    )


class ReadsCalls(unittest.TestCase):
    def test_joins_the_two_lines_of_an_interrupted_call(self) -> None:
        calls = [call for call in syscalls.read_calls(TRACE.splitlines()) if call]
        self.assertIn(syscalls.Call("fdatasync", "/data/raft.db-wal", 0), calls)
        self.assertIn(syscalls.Call("sendmsg", "socket:[54]", 41), calls)

    def test_leaves_out_what_never_returned(self) -> None:
        names = [call.name for call in syscalls.read_calls(TRACE.splitlines()) if call]
        self.assertNotIn("exit", names)
        self.assertEqual(names.count("futex"), 1)

    def test_knows_what_calls_are_for(self) -> None:
        counted = syscalls.tally(TRACE, 0, len(TRACE))
        self.assertEqual(
            counted,
            syscalls.Tally(
                calls=8, syncs=1, disk_writes=1, disk_bytes=4096, sends=1, receives=1, waits=1, futexes=1
            ),
        )

    def test_counts_a_call_where_it_finishes(self) -> None:
        begin = TRACE.index("12 sendmsg")
        counted = syscalls.tally(TRACE, begin, TRACE.index("12 <... sendmsg"))
        self.assertEqual((counted.calls, counted.syncs), (1, 1))
        self.assertEqual(syscalls.tally(TRACE, 0, begin).syncs, 0)


class ReadsSockets(unittest.TestCase):
    def test_adds_up_the_connections_of_a_process(self) -> None:
        sent = sockets.parse(CONNECTIONS)
        self.assertEqual(sent, {5: sockets.Sent(4, 150), 6: sockets.Sent(0, 0)})


class ReadsCallgrind(unittest.TestCase):
    def test_finds_the_total(self) -> None:
        self.assertEqual(callgrind.parse_instructions("events: Ir\nfn=(1) main\n1 2\ntotals: 4711\n"), 4711)

    def test_refuses_a_file_without_one(self) -> None:
        with self.assertRaises(callgrind.NoTotal):
            callgrind.parse_instructions("events: Ir\n")

    def test_lets_the_start_fall_out(self) -> None:
        fewer = (1000 + 10 * 7, {"operations": 10, "sessions": 2, "saves": 13, "workload": "pairs"})
        more = (1000 + 30 * 7, {"operations": 30, "sessions": 2, "saves": 33, "workload": "pairs"})
        self.assertEqual(callgrind.difference(fewer, more), {"instructions": 7.0, "saves": 1.0})


class Judges(unittest.TestCase):
    def test_accepts_what_is_at_its_bound(self) -> None:
        self.assertEqual(bounds.judge({"a.x": bound("a.x", 3.0)}, {"a.x": 3.0}, frozenset({"a"})), [])

    def test_names_count_bound_value_and_place(self) -> None:
        (fault,) = bounds.judge({"a.x": bound("a.x", 3.0)}, {"a.x": 4.0}, frozenset({"a"}))
        self.assertEqual(fault, "a.x is 4, above its bound 3 (it was 2): what it is. Look at some.c.")

    def test_refuses_less_than_it_must_be(self) -> None:
        (fault,) = bounds.judge({"a.x": bound("a.x", 3.0, at_least=1.0)}, {"a.x": 0.5}, frozenset({"a"}))
        self.assertIn("below 1, which it must reach", fault)

    def test_misses_what_was_not_measured(self) -> None:
        stored = {"a.x": bound("a.x", 3.0), "b.x": bound("b.x", 3.0)}
        self.assertEqual(bounds.judge(stored, {}, frozenset({"a"})), ["a.x has a bound and was not measured"])

    def test_refuses_a_count_that_nobody_has_explained(self) -> None:
        (fault,) = bounds.judge({}, {"a.x": 1.0}, frozenset({"a"}))
        self.assertIn("a.x was measured and has no entry", fault)

    def test_update_keeps_margin_and_floor(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bounds.json"
            stored = {"a.x": bound("a.x", 3.0, at_least=1.0), "b.x": bound("b.x", 6.0)}
            bounds.update(stored, {"a.x": 10.0, "c.x": 1.0})
            bounds.save(path, stored)
            again = bounds.load(path)
        self.assertEqual((again["a.x"].measured, again["a.x"].bound, again["a.x"].at_least), (10.0, 15.0, 1.0))
        self.assertEqual(again["b.x"].bound, 6.0)
        self.assertNotIn("c.x", again)


class Fails(unittest.TestCase):
    """The whole command on planted measurements, against the real bounds."""

    def run_check(self, factor: float) -> tuple[int, str]:
        stored = bounds.load(check.ROOT / "bench/bounds.json")
        measured = {name: one.measured * factor for name, one in stored.items()}
        errors = io.StringIO()
        with (
            mock.patch.object(check, "find_missing", return_value=None),
            mock.patch.object(check, "may_trace", return_value=True),
            mock.patch.object(check, "measure", return_value=measured),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(errors),
        ):
            return check.main([]), errors.getvalue()

    def test_what_was_measured_when_the_bounds_were_set_passes(self) -> None:
        self.assertEqual(self.run_check(1.0), (0, ""))

    def test_every_count_that_grows_is_named(self) -> None:
        """At its double; sizes of batches, which a slow disk makes larger and a fast one smaller, at three times."""
        for factor, margin_max in ((2.0, 1.0), (3.0, 2.0)):
            status, said = self.run_check(factor)
            self.assertEqual(status, 1)
            for name, one in bounds.load(check.ROOT / "bench/bounds.json").items():
                if one.measured > 0 and one.margin < margin_max:
                    now = f"{factor * one.measured:.4g}"
                    self.assertIn(f"check: {name} is {now}, above its bound {one.bound:.4g}", said)
                    self.assertIn(one.look_at, said)

    def test_fewer_syncs_than_operations_are_no_gain(self) -> None:
        status, said = self.run_check(0.5)
        self.assertEqual(status, 1)
        self.assertIn("one.leader.syncs", said)
        self.assertIn("one.follower.syncs", said)

    def test_what_must_be_nothing_may_not_be_one(self) -> None:
        stored = bounds.load(check.ROOT / "bench/bounds.json")
        faults = bounds.judge(stored, {"idle.nodes.syncs": 1.0}, frozenset())
        self.assertEqual(len(faults), 1)

    def test_every_stored_count_is_one_that_is_counted(self) -> None:
        text = json.loads((check.ROOT / "bench/bounds.json").read_text())
        self.assertEqual({name.split(".")[0] for name in text["counts"]}, check.ALL)


if __name__ == "__main__":
    unittest.main()
