# SPDX-License-Identifier: Apache-2.0
"""Statistics, targets, table and picture, from figures that are made up."""

import unittest
from pathlib import Path

from sidebyside import chart, table
from sidebyside.generator import flags
from sidebyside.run import Run
from sidebyside.sample import Key, Sample, Samples
from sidebyside.target import TARGETS, Target
from sidebyside.workload import Scale, count

PAIRS = Key("pairs", "64 sessions", "pairs")


def samples(**values: list[float]) -> Samples:
    """Pairs at 64 sessions, by service."""
    return Samples(
        Sample(PAIRS, service, number, value, "1/s")
        for service, all_values in values.items()
        for number, value in enumerate(all_values, 1)
    )


class SamplesTest(unittest.TestCase):
    """Medians, spread, ratios."""

    def test_summary_is_median_and_spread(self) -> None:
        summary = samples(lockd=[30, 10, 20]).summary(PAIRS, "lockd")
        self.assertEqual((summary.median, summary.low, summary.high, summary.count), (20, 10, 30, 3))

    def test_median_of_an_even_number_lies_between(self) -> None:
        self.assertEqual(samples(lockd=[1, 2, 4, 100]).median(PAIRS, "lockd"), 3)

    def test_ratio_is_of_medians(self) -> None:
        self.assertEqual(samples(lockd=[80, 90, 1000], etcd=[10, 9, 1]).ratio(PAIRS, "lockd", "etcd"), 10)

    def test_nothing_comes_of_what_was_not_measured(self) -> None:
        taken = samples(lockd=[80], redis=[0])
        self.assertIsNone(taken.summary(PAIRS, "etcd"))
        self.assertIsNone(taken.ratio(PAIRS, "lockd", "etcd"))
        self.assertIsNone(taken.ratio(PAIRS, "lockd", "redis"))


class TargetTest(unittest.TestCase):
    """Verdicts."""

    def test_bounds_themselves_are_met(self) -> None:
        for at_least in (True, False):
            target = Target("as much", 8, at_least, lambda taken: taken.ratio(PAIRS, "lockd", "etcd"))
            self.assertEqual(target.verdict(samples(lockd=[80], etcd=[10])), (8, "met"))

    def test_direction_decides(self) -> None:
        taken = samples(lockd=[70], etcd=[10])
        for at_least, verdict in ((True, "missed"), (False, "met")):
            target = Target("as much", 8, at_least, lambda taken: taken.ratio(PAIRS, "lockd", "etcd"))
            self.assertEqual(target.verdict(taken), (7, verdict))

    def test_unmeasured_is_neither_met_nor_missed(self) -> None:
        for target in TARGETS:
            self.assertEqual(target.verdict(Samples()), (None, "not measured"))

    def test_pairs_are_held_against_etcd(self) -> None:
        target = next(target for target in TARGETS if target.text == "pairs at 64 sessions over etcd")
        self.assertEqual(target.verdict(samples(lockd=[100], etcd=[10])), (10, "met"))


    def test_without_a_bound_there_is_no_verdict(self) -> None:
        target = Target("as much", None, True, lambda taken: taken.ratio(PAIRS, "lockd", "etcd"))
        self.assertEqual(target.verdict(samples(lockd=[70], etcd=[10])), (7, ""))
        self.assertEqual(target.verdict(Samples()), (None, "not measured"))

    def test_pairs_are_held_against_both_ways_to_use_redis(self) -> None:
        taken = Samples()
        for service, case, value in (
            ("lockd", "256 sessions", 300),
            ("lockd", "256 sessions, a handle each", 50),
            ("redis", "256 sessions", 400),
            ("redis", "256 sessions, a handle each", 200),
        ):
            taken.add(Sample(Key("pairs", case, "pairs"), service, 1, value, "1/s"))
        wanted = [target for target in TARGETS if "Redis" in target.text]
        verdicts = {target.text.rpartition(", ")[2]: target.verdict(taken) for target in wanted}
        self.assertEqual(
            verdicts,
            {"pipelined over as many connections": (0.75, "missed"), "a connection per client": (1.5, "met")},
        )

    def test_acquire_is_held_against_both_floors(self) -> None:
        taken = Samples([Sample(Key("pairs", "1 session", "acquire p50"), "lockd", 1, 800, "µs")])
        taken.add(Sample(Key("floor", "one acquire", "p50"), "floor", 1, 400, "µs"))
        taken.add(Sample(Key("floor", "one acquire over nng", "p50"), "floor", 1, 640, "µs"))
        verdicts = [target.verdict(taken) for target in TARGETS if "over the floor" in target.text]
        self.assertEqual(verdicts, [(2, "missed"), (1.25, "")])


class TableTest(unittest.TestCase):
    """Text."""

    def test_numbers_keep_three_digits(self) -> None:
        for value, text in ((0, "0"), (0.12345, "0.123"), (1.236, "1.24"), (12.34, "12.3"), (12345.6, "12,346")):
            self.assertEqual(table.number(value), text)

    def test_columns_are_aligned(self) -> None:
        self.assertEqual(table.align([["a", "1"], ["bbb", "100"]], left=1), "a      1\nbbb  100")

    def test_row_has_medians_spread_and_ratio(self) -> None:
        row = table.figures(samples(lockd=[90, 100, 110], etcd=[10])).splitlines()[1]
        self.assertEqual(row.split(), ["64", "sessions", "pairs", "1/s", "100", "(90.0–110)", "10.0", "10.0×"])

    def test_service_without_samples_has_no_column(self) -> None:
        taken = samples(lockd=[1])
        taken.add(Sample(Key("floor", "one sync", "rate"), "floor", 1, 5, "1/s"))
        self.assertNotIn("floor", table.figures(taken).splitlines()[0])


    def test_target_without_a_bound_wants_nothing(self) -> None:
        target = Target("as much", None, True, lambda taken: taken.ratio(PAIRS, "lockd", "etcd"))
        row = table.targets(samples(lockd=[70], etcd=[10]), [target]).splitlines()[1]
        self.assertEqual(row.split(), ["as", "much", "-", "7.00"])


class ChartTest(unittest.TestCase):
    """What gnuplot is told."""

    def test_bars_of_both_services_with_their_spread(self) -> None:
        script = chart.script(samples(lockd=[90, 100, 110], etcd=[10]), Path("out.svg"), "caption")
        self.assertIn('"64 sessions" 100 90 110 10 10 10\n', script)
        self.assertNotIn("redis", script)

    def test_what_most_peers_have_not_is_not_drawn(self) -> None:
        taken = samples(lockd=[100], etcd=[10], zookeeper=[10], redis=[50])
        unshared = Key("pairs", "64 sessions, a handle each", "pairs")
        taken.add(Sample(unshared, "lockd", 1, 90, "1/s"))
        taken.add(Sample(unshared, "redis", 1, 25, "1/s"))
        script = chart.script(taken, Path("out.svg"), "caption")
        self.assertIn('"64 sessions"', script)
        self.assertNotIn("a handle each", script)

    def test_nothing_to_draw(self) -> None:
        self.assertEqual(chart.script(Samples(), Path("out.svg"), ""), "")


class RunTest(unittest.TestCase):
    """Who comes when, and what a generator is told."""

    def test_each_round_begins_with_another_service(self) -> None:
        run = Run(["lockd", "etcd", "zookeeper"], [], 3, Scale(), Path(), Path())
        first = [run.order("handoff", number)[0] for number in (1, 2, 3, 4)]
        self.assertEqual(first, ["lockd", "etcd", "zookeeper", "lockd"])

    def test_only_services_that_take_part(self) -> None:
        run = Run(["etcd", "lockd"], [], 1, Scale(), Path(), Path())
        self.assertEqual(run.order("million", 1), ["lockd"])

    def test_flags_are_spelled_as_generators_take_them(self) -> None:
        self.assertEqual(flags(ttl_ms=3000, sessions=1), ["--ttl-ms", "3000", "--sessions", "1"])

    def test_counts_are_words(self) -> None:
        self.assertEqual([count(1, "session"), count(1000, "session")], ["1 session", "1,000 sessions"])


if __name__ == "__main__":
    unittest.main()
