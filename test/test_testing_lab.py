# -*- test-case-name: cocained.test.test_testing_lab -*-
"""
The parts of a lab that need no network; the rest is ``live/test_lab.py``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.testing.lab import Faults, Lab, LabError, namespaces, network
from cocained.testing.lab.latency import QUEUE_LIMIT, Quality, Way
from cocained.testing.programs import PROGRAMS, require


def rules(faults: Faults) -> list[str]:
    """Give the rules without the table around them."""
    return [
        line.strip()
        for line in faults.ruleset().splitlines()
        if line.strip().endswith("drop")
    ]


class FaultsTests(SynchronousTestCase):
    """Rules of nftables."""

    def setUp(self) -> None:
        self.faults = Faults()

    def test_none(self) -> None:
        """Without faults there is an empty chain, in place of any former one."""
        self.assertEqual(rules(self.faults), [])
        lines = self.faults.ruleset().splitlines()
        self.assertEqual(lines[:2], ["add table bridge lab", "delete table bridge lab"])

    def test_part(self) -> None:
        """Parted groups do not reach each other, either way."""
        self.faults.part(["p1"], ["p2", "p3"])

        self.assertEqual(
            rules(self.faults),
            [
                'iifname "p1" oifname "p2" drop',
                'iifname "p1" oifname "p3" drop',
                'iifname "p2" oifname "p1" drop',
                'iifname "p3" oifname "p1" drop',
            ],
        )

    def test_one_way(self) -> None:
        """One way may stay open."""
        self.faults.part(["p1"], ["p2"], one_way=True)

        self.assertEqual(rules(self.faults), ['iifname "p1" oifname "p2" drop'])

    def test_several(self) -> None:
        """Each parting comes on top of the former ones."""
        self.faults.part(["p1"], ["p2"], one_way=True)
        self.faults.part(["p1"], ["p3"], one_way=True)
        self.faults.part(["p1"], ["p3"], one_way=True)

        self.assertEqual(len(rules(self.faults)), 2)

    def test_iterators(self) -> None:
        """Groups may be whatever can be iterated over once."""
        self.faults.part(iter(["p1", "p2"]), iter(["p3", "p4"]))

        self.assertEqual(len(rules(self.faults)), 8)

    def test_heal(self) -> None:
        """Healing parts nobody, and leaves losses."""
        self.faults.part(["p1"], ["p2"])
        self.faults.lose("p1", 30)

        self.faults.heal()

        self.assertEqual(
            rules(self.faults),
            [
                'iifname "p1" numgen random mod 10000 < 3000 drop',
                'oifname "p1" numgen random mod 10000 < 3000 drop',
            ],
        )

    def test_losses(self) -> None:
        """A loss is changed by another, all may be lost, and none."""
        self.faults.lose("p1", 12.345)
        self.assertIn("< 1234 ", rules(self.faults)[0])
        self.faults.lose("p1", 100)
        self.assertEqual(rules(self.faults)[0], 'iifname "p1" drop')
        self.faults.lose("p1", 0)
        self.faults.lose("p2", 0)
        self.assertEqual(rules(self.faults), [])

    def test_no_share(self) -> None:
        """More than all cannot be lost, nor less than nothing."""
        for percent in (-1, 100.1):
            self.assertRaises(ValueError, self.faults.lose, "p1", percent)


class ProgramsTests(SynchronousTestCase):
    """What a machine must have."""

    def test_known(self) -> None:
        """For each program that a lab needs a package is known."""
        self.assertLessEqual(set(network.NEEDS), set(PROGRAMS))

    def test_missing(self) -> None:
        """An error names what is missing and what brings it."""
        self.patch(os, "environ", {"PATH": self.mktemp()})

        error = self.assertRaises(LabError, require, network.NEEDS)

        self.assertEqual(
            str(error),
            "no ip, nft, nsenter: apt-get install iproute2 nftables util-linux",
        )

    def test_not_root(self) -> None:
        """Nobody but root can have a lab, and is told so."""
        self.patch(os, "geteuid", lambda: 1000)

        self.assertIn("sudo", str(self.assertRaises(LabError, Lab)))

    def test_forbidden(self) -> None:
        """Where root may not do it, as in a container, the remedy is named."""
        programs = Path(self.mktemp()).absolute()
        programs.mkdir()
        for name in network.NEEDS:
            program = programs / name
            program.write_text("#!/bin/sh\necho mount failed >&2; exit 1\n")
            program.chmod(stat.S_IRWXU)
        self.patch(os, "geteuid", lambda: 0)
        self.patch(os, "environ", {"PATH": f"{programs}:/bin:/usr/bin"})

        error = self.assertRaises(LabError, Lab)

        self.assertIn("mount failed", str(error))
        self.assertIn("--privileged", str(error))

    def test_names(self) -> None:
        """Names become parts of others, so they are plain."""
        self.patch(network, "check", lambda: None)
        for name in ("", "a b", "../a", "A", "a" * 21, "-a"):
            self.assertRaises(LabError, Lab, name)

    def test_commands(self) -> None:
        """A command that fails or is not there is an error with its text."""
        for command, part in (
            (["sh", "-c", "echo why >&2; exit 3"], "ended with 3: why"),
            (["sh", "-c", "exit 4"], "did not say why"),
            (["/nonexistent/program"], "No such file"),
        ):
            error = self.assertRaises(LabError, namespaces.run, command)
            self.assertIn(part, str(error))

    def test_text(self) -> None:
        """A command can be given text, and what it prints comes back."""
        self.assertEqual(namespaces.run(["cat"], "hello"), "hello")

    def test_no_namespace(self) -> None:
        """A namespace that is not there cannot be entered."""
        error = self.assertRaises(LabError, namespaces.enter, "nonexistent77")

        self.assertIn("no namespace", str(error))


class WayTests(SynchronousTestCase):
    """One direction of the slow cable, between two pipes."""

    def setUp(self) -> None:
        self.source, self.sender = self.pipe()
        self.receiver, self.target = self.pipe()
        self.way = Way(self.source, self.target)
        self.quality = Quality()

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe2(os.O_NONBLOCK)
        for end in ends:
            self.addCleanup(os.close, end)
        return ends

    def received(self) -> bytes:
        try:
            return os.read(self.receiver, 100)
        except BlockingIOError:
            return b""

    def send(self, data: bytes, now: float) -> None:
        os.write(self.sender, data)
        self.way.take(now, self.quality)

    def test_delay(self) -> None:
        """A frame arrives when its time has come."""
        self.quality.change("0.07 0 0")
        self.send(b"a", 10.0)

        self.assertEqual(self.way.due, 10.07)
        self.way.give(10.06)
        self.assertEqual(self.received(), b"")
        self.way.give(10.07)
        self.assertEqual(self.received(), b"a")
        self.assertIsNone(self.way.due)

    def test_at_once(self) -> None:
        """A cable is good until it is told otherwise."""
        self.send(b"a", 10.0)
        self.way.give(10.0)

        self.assertEqual(self.received(), b"a")

    def test_order(self) -> None:
        """No frame overtakes another, when the delay shrinks or varies."""
        self.quality.change("5 0 0")
        self.send(b"a", 10.0)
        self.quality.change("0 0.5 0")
        for each in (b"b", b"c", b"d"):
            self.send(each, 10.0)

        self.way.give(14.9)
        self.assertEqual(self.received(), b"")
        self.way.give(100.0)
        self.assertEqual(self.received(), b"abcd")

    def test_jitter(self) -> None:
        """A varying delay is never less than none."""
        self.quality.change("0.01 1 0")

        delays = [self.quality.delay() for _ in range(1000)]

        self.assertGreater(len(set(delays)), 100)
        self.assertEqual(min(delays), 0.0)

    def test_loss(self) -> None:
        """Everything can be lost, and nothing."""
        self.quality.change("0 0 100")
        self.send(b"a", 10.0)
        self.quality.change("0 0 0")
        self.send(b"b", 10.0)
        self.way.give(10.0)

        self.assertEqual(self.received(), b"b")

    def test_full(self) -> None:
        """When too many are on their way the next are lost."""
        self.quality.change("5 0 0")
        for _ in range(QUEUE_LIMIT + 10):
            self.send(b"a", 10.0)
        self.assertEqual(len(self.way._queue), QUEUE_LIMIT)

    def test_unreachable(self) -> None:
        """An interface that takes nothing loses frames, and others go on."""
        way = Way(self.source, self.source)  # cannot be written to
        os.write(self.sender, b"a")
        way.take(10.0, self.quality)

        way.give(10.0)

        self.assertIsNone(way.due)

    def test_nonsense(self) -> None:
        """A line that is none is refused."""
        self.assertRaises(ValueError, self.quality.change, "1 2")
        self.assertRaises(ValueError, self.quality.change, "a b c")
