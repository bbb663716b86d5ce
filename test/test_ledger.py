# -*- test-case-name: cocained.test.test_ledger -*-
"""
The ledger of the live tests: it does catch what it is there to catch.
"""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import cocained
from cocained.test.live.ledger import CAUSES, LATENESS, LOST, TOLD, Ending, Ledger

TESTING = Path(cocained.__file__).resolve().parent / "testing"
GUARANTEES = Path(__file__).resolve().parent.parent / "docs" / "guarantees.rst"


class LedgerCase(SynchronousTestCase):
    """A ledger with one request in it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.ledger = Ledger(self.clock.seconds)
        self.ledger.opened(b"a")

    def reply(self, token: bytes) -> None:
        self.ledger.chunk(token, token)
        self.ledger.replied(token)

    def assert_problem(self, *parts: str) -> None:
        """There is one problem, in these words."""
        (problem,) = self.ledger.problems()
        for part in parts:
            self.assertIn(part, problem)


class PromiseTests(LedgerCase):
    """What keeps the promise, and what breaks it."""

    def test_reply(self) -> None:
        """An answer with the request's token is what was asked for."""
        self.reply(b"a")
        self.assertEqual(self.ledger.problems(), [])
        self.assertEqual(self.ledger.open_count, 0)

    def test_error(self) -> None:
        """So is an error with a documented cause, and one of the worker's own."""
        self.ledger.opened(b"b")
        self.ledger.failed(b"a", 5, 2)
        self.ledger.failed(b"b", 42, -17)
        self.assertEqual(self.ledger.problems(), [])
        self.assertEqual(self.ledger.count(Ending.ERROR), 2)

    def test_connection(self) -> None:
        """So is the end of the connection."""
        self.ledger.lost(b"a")
        self.assertEqual(self.ledger.problems(), [])
        self.assertEqual(self.ledger.count(Ending.ERROR, LOST), 1)

    def test_never(self) -> None:
        """A request without an end is lost."""
        self.assert_problem("a never ended")

    def test_twice(self) -> None:
        """Two endings are one too many, whichever they are."""
        self.reply(b"a")
        self.ledger.failed(b"a", 5, 2)
        self.assert_problem("a ended twice", "reply, then error")

    def test_doubled(self) -> None:
        """An answer behind the end is one too many."""
        self.ledger.failed(b"a", 5, 2)
        self.ledger.chunk(b"a", b"a")
        self.assert_problem("a answered after its end")

    def test_swapped(self) -> None:
        """Another's answer is the worst of all."""
        self.ledger.opened(b"b")
        self.ledger.chunk(b"a", b"b")
        self.ledger.failed(b"a", 5, 2)
        self.reply(b"b")
        self.assert_problem("a got another's answer", "b'b'")

    def test_half(self) -> None:
        """An answer that is closed before it is whole is no answer."""
        self.ledger.replied(b"a")
        self.assert_problem("a got half an answer")

    def test_repeated(self) -> None:
        """Nor is one that says it twice before its end."""
        self.ledger.chunk(b"a", b"a")
        self.reply(b"a")
        self.assert_problem("a got half an answer", "2 chunks")

    def test_undocumented(self) -> None:
        """An error of no documented cause breaks the promise."""
        self.ledger.failed(b"a", 7, 7)
        self.assert_problem("no documented cause", "[7, 7]")

    def test_stray(self) -> None:
        """So does what comes for a request that nobody made."""
        self.reply(b"a")
        self.ledger.failed(b"z", 5, 2)
        self.assert_problem("came for nobody", "b'z'")

    def test_same_token(self) -> None:
        """A token that was used before would prove nothing."""
        self.assertRaises(ValueError, self.ledger.opened, b"a")

    def test_many(self) -> None:
        """Of many problems of one kind the first are told, and their number."""
        for number in range(100):
            self.ledger.opened(b"%d" % number)
            self.ledger.failed(b"%d" % number, 7, 7)
        self.reply(b"a")
        problems = self.ledger.problems()
        self.assertEqual(len(problems), TOLD + 1)
        self.assertIn("100 in all", problems[-1])

    def test_many_left(self) -> None:
        """Likewise of many that never ended."""
        for number in range(100):
            self.ledger.opened(b"%d" % number)
        self.assertEqual(len(self.ledger.problems()), TOLD + 1)
        self.assertIn("101 in all", self.ledger.problems()[-1])


class DeadlineTests(LedgerCase):
    """Requests that have a deadline."""

    def setUp(self) -> None:
        super().setUp()
        self.reply(b"a")
        self.ledger.opened(b"d", 2.0)

    def test_expired(self) -> None:
        """The deadline is an ending of its own."""
        self.clock.advance(2.1)
        self.ledger.failed(b"d", 20991, 3)
        self.assertEqual(self.ledger.problems(), [])
        self.assertEqual(self.ledger.count(Ending.DEADLINE, (20991, 3)), 1)

    def test_early(self) -> None:
        """It does not come before its time."""
        self.clock.advance(1.9)
        self.ledger.failed(b"d", 20991, 1)
        self.assert_problem("d expired too early")

    def test_late(self) -> None:
        """And hardly after it, whatever it is that comes."""
        self.clock.advance(2.0 + LATENESS + 0.1)
        self.reply(b"d")
        self.assert_problem("d ended long after its deadline")

    def test_none(self) -> None:
        """A request without a deadline does not expire."""
        self.ledger.opened(b"e")
        self.reply(b"d")
        self.ledger.failed(b"e", 20991, 1)
        self.assert_problem("e expired without a deadline")


class SumTests(LedgerCase):
    """What is said of a run."""

    def test_table(self) -> None:
        """The table counts endings and errors by their cause."""
        for token in (b"b", b"c", b"d"):
            self.ledger.opened(token, 3.0)
        self.clock.advance(1.5)
        self.reply(b"a")
        self.ledger.failed(b"b", 21247, 1)
        self.clock.advance(0.5)
        self.reply(b"c")
        self.clock.advance(1.5)
        self.ledger.failed(b"d", 20991, 1)
        rows = [line.split() for line in self.ledger.table("a run").splitlines()]
        self.assertEqual(rows[0], ["a", "run"])
        self.assertEqual(
            rows[1:5],
            [
                ["requests", "4"],
                ["replies", "2"],
                ["deadlines", "1"],
                ["errors", "1"],
            ],
        )
        self.assertIn(["[21247,", "1]", "queue", "is", "full", "1"], rows)
        self.assertIn(["longest", "wait", "3.500", "s"], rows)
        self.assertIn(["longest", "gap", "0.500", "s"], rows)
        self.assertEqual(self.ledger.share, 0.5)

    def test_empty(self) -> None:
        """Nobody asked, nobody waited."""
        ledger = Ledger(self.clock.seconds)
        self.assertEqual((ledger.share, ledger.longest, ledger.longest_gap()), (0,) * 3)
        self.assertEqual(ledger.problems(), [])


class DocumentTests(SynchronousTestCase):
    """``docs/guarantees.rst``, against the ledger and the tests."""

    def setUp(self) -> None:
        if not GUARANTEES.exists():
            raise SkipTest("the documentation is not in an installed package")
        self.text = GUARANTEES.read_text()

    def test_causes(self) -> None:
        """The causes that are documented are those that the ledger accepts."""
        table = self.text.partition("What ends a request")[2].partition("\n\n\n")[0]
        pairs = {
            (int(category), int(code))
            for category, code in re.findall(r"``\[(\d+), (\d+)\]``", table)
        }
        self.assertEqual(pairs, {*CAUSES} - {LOST})

    def test_tests(self) -> None:
        """Every test that is named there exists."""
        named = set(
            re.findall(r"``(test_\w+|contracts\.\w+)\.(\w+)\.(\w+)``", self.text)
        )
        self.assertGreater(len(named), 20)
        folder = Path(__file__).resolve().parent
        for module, case, test in sorted(named):
            (source,) = [
                *folder.glob(f"{module}.py"),
                *folder.glob(f"live/{module}.py"),
                *TESTING.glob(f"{module.replace('.', '/')}.py"),
            ]
            body = source.read_text().partition(f"class {case}(")[2]
            self.assertIn(f"def {test}(", body.partition("\nclass ")[0], module)
