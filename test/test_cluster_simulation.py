# -*- test-case-name: cocained.test.test_cluster_simulation -*-
"""
The simulation of clusters: some of its seeds, and whether it can fail.

More of them, and larger ones, are for ``make simulate-cluster``.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from twisted.internet.error import AlreadyCancelled
from twisted.trial.unittest import SynchronousTestCase

import cocained
from cocained.test import cluster_simulation
from cocained.test.cluster_simulation import storm
from cocained.test.cluster_simulation.__main__ import parse
from cocained.test.cluster_simulation.broken import Broken
from cocained.test.cluster_simulation.clock import BEGINNING, NodeClock, VirtualClock
from cocained.test.cluster_simulation.figures import INTERVAL, LATENCY, measure
from cocained.test.cluster_simulation.growth import COLUMNS, table
from cocained.test.cluster_simulation.plot import CURVES, draw
from cocained.test.cluster_simulation.runner import play
from cocained.test.cluster_simulation.weights import weigh
from cocained.test.simulation.runner import Totals
from cocained.test.test_simulation import SimulationCase

#: Seeds that the unit tests play.
FEW = 30


class ClusterStormTests(SimulationCase):
    """Nodes keep their promises to each other."""

    def test_some_seeds(self) -> None:
        """No seed breaks a promise, and all kinds of things happen in them."""
        totals = Totals()
        for seed in range(FEW):
            play(seed, totals)

        self.assertEqual([(each.seed, each.reason) for each in totals.failing], [])
        self.assertEqual(totals.runs, FEW)
        self.assertEqual(set(storm.WEIGHTS) - set(totals.faults), set())
        self.assertGreater(totals.figures["connections dialled"], 10 * FEW)

    def test_same_elsewhere(self) -> None:
        """Another process, with other hashes, gives the same trace."""
        mine = play(7, Totals()).journal.lines()
        root = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))
        program = [sys.executable, "-m", cluster_simulation.__name__]

        done = subprocess.run(
            [*program, "--seed", "7", "--trace"],
            env={**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

        self.assertEqual(done.stderr, "")
        self.assertEqual(done.stdout.splitlines(), [*mine, "every promise was kept"])
        self.assertEqual(done.returncode, 0)

    def test_same_again(self) -> None:
        """A seed gives the same run, to the last event."""
        for seed in (1, 2):
            first, second = (play(seed, Totals()) for _ in range(2))

            self.assertEqual(first.journal.lines(), second.journal.lines())
            self.assertEqual(first.clock.events, second.clock.events)
            self.assertEqual(first.network.traffic, second.network.traffic)

    def test_seeds_differ(self) -> None:
        """Another seed gives another run."""
        first, second = (play(seed, Totals()).journal.lines() for seed in (1, 2))

        self.assertNotEqual(first, second)


class NodeClockTests(SynchronousTestCase):
    """The time of one process."""

    def setUp(self) -> None:
        self.all = VirtualClock()
        self.clock = NodeClock(self.all)
        self.seen: list[str] = []

    def test_order(self) -> None:
        """Things happen when they are due, and as they were asked for."""
        for name, seconds in (("c", 2.0), ("a", 1.0), ("b", 1.0)):
            self.clock.callLater(seconds, self.seen.append, name)

        self.all.run(BEGINNING + 1.5)

        self.assertEqual(self.seen, ["a", "b"])
        self.assertEqual(self.clock.seconds(), BEGINNING + 1.5)
        self.assertEqual(list(self.all.left()), ["list.append"])

    def test_cancelled(self) -> None:
        """What is taken back does not happen, and is not left."""
        call = self.clock.callLater(1.0, self.seen.append, "a")
        call.cancel()

        self.assertFalse(call.active())
        self.assertRaises(AlreadyCancelled, call.cancel)
        self.assertEqual(list(self.all.left()), [])
        self.all.run(BEGINNING + 2)
        self.assertEqual(self.seen, [])

    def test_stopped(self) -> None:
        """Who goes on does first what is late, then reads what has come."""
        self.clock.stop()
        self.clock.deliver(self.seen.append, "read")
        self.clock.callLater(1.0, self.seen.append, "late")
        self.all.run(BEGINNING + 2)
        self.assertEqual(self.seen, [])

        self.clock.resume()

        self.assertEqual(self.seen, ["late", "read"])

    def test_dead(self) -> None:
        """Nothing happens in a process that has ended."""
        self.clock.callLater(1.0, self.seen.append, "late")
        self.clock.die()

        self.clock.deliver(self.seen.append, "read")
        self.all.run(BEGINNING + 2)

        self.assertEqual(self.seen, [])

    def test_stands_still(self) -> None:
        """Who waits for nothing, for ever, is found out."""

        def again() -> None:
            self.clock.callLater(0, again)

        again()

        error = self.assertRaises(Broken, self.all.run, BEGINNING + 1)
        self.assertIn("time stands still", str(error))


class FiguresTests(SimulationCase):
    """What a cluster costs."""

    def test_small(self) -> None:
        """Messages and times are those that can be reckoned."""
        found = measure(6, 20)

        self.assertEqual((found.nodes, found.links, found.known), (6, 30, 12))
        self.assertEqual(found.change_messages, 5)
        # Five pings and five answers each five seconds, and a datagram.
        self.assertApproximates(found.rest_messages, 11 / 5, 0.2)
        self.assertLess(found.change, LATENCY[1])
        self.assertLess(found.fin, LATENCY[1])
        self.assertLess(found.join_known, 10 * LATENCY[1])
        self.assertLess(found.join_knows, 1.2 * INTERVAL)
        self.assertGreater(found.silence, INTERVAL)
        self.assertLess(found.silence, 20.0)

    def test_weights(self) -> None:
        """Memory is what a link may cost: some hundred bytes, a kilobyte or two."""
        found = weigh(200)

        self.assertTrue(300 < found.link < 3000, found)
        self.assertTrue(100 < found.service < 1500, found)
        self.assertTrue(500 < found.listener < 5000, found)

    def test_table(self) -> None:
        """Each cluster has a column, each figure a row."""
        text = io.StringIO()
        found = measure(3, 10)

        Console(file=text, width=200).print(table([found, found]))

        lines = text.getvalue().splitlines()
        self.assertEqual(
            lines[1].split(), ["\u2503", "\u2503", "3", "\u2503", "3", "\u2503"]
        )
        rows = [heading for heading, _ in COLUMNS[1:]]
        self.assertEqual([row for row in rows if row not in text.getvalue()], [])

    def test_picture(self) -> None:
        """The picture is XML, with a line for each curve and a name beside it."""
        found = [measure(nodes, 10) for nodes in (3, 6)]

        picture = ElementTree.fromstring(draw(found))

        lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
        texts = picture.findall("{http://www.w3.org/2000/svg}text")
        self.assertEqual(len(lines), len(CURVES))
        names = {curve.name for curve in CURVES}
        self.assertLessEqual(names, {text.text for text in texts})


class CommandTests(SimulationCase):
    """The command line."""

    def test_command_line(self) -> None:
        """Numbers are read; what belongs together is asked for together."""
        options = parse(["--nodes", "100", "--apps", "50", "--seeds", "3"])

        self.assertEqual((options.nodes, options.apps, options.seeds), (100, 50, 3))
        wrong: list[list[Any]] = [["--trace"], ["--nodes", "3"], ["--seeds", "0"]]
        for arguments in wrong:
            self.assertRaises(SystemExit, parse, arguments)
