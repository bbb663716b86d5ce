# -*- test-case-name: cocained.test.live.test_faults_workers -*-
"""
Workers that are killed, or break every rule, while many clients ask.

What has to hold all the same stands in ``docs/guarantees.rst``.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time

from cocained.test.live.faults import (
    PATIENCE,
    RESIDENT_LIMIT,
    FaultCase,
    cycle,
    is_long,
    pour,
    resident,
)
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.support import live_suite, pack, wait_for

#: Seconds of the storm of kills: a minute, and for CI a fifth of it.
STORM = 60.0 if is_long() else 12.0

#: Seconds between two kills.
EVERY = 0.1

#: Seconds without any reply that the storm may cause: the wait of one second
#: before the first spawn, if the first worker is killed before it has served.
CALM = 2.5

#: Seconds that the answer to ``late`` takes, see ``workers/faulty.py``.
LATE = 1.0

#: Seconds of load against one kind of misbehaviour.
SHORT = 0.5


class StormTests(FaultCase):
    """Workers that are killed without a break."""

    profile = {"pool-limit": 6, "concurrency": 4}

    def test_storm(self) -> None:
        """
        With a worker killed every 100 ms the others go on serving, each request
        ends once, and afterwards the pool is as large as before.
        """
        self.ask_for_workers(6)
        wait_for("six workers", lambda: self.states() == [b"active"] * 6, 10)
        self.try_events(SHORT, "echo")
        ledger = Ledger()
        load = self.load(ledger, width=4, depth=8, timeout=10.0)
        choice = random.Random(7)
        killed = 0
        due = time.monotonic()

        def kill() -> bool:
            nonlocal killed, due
            if time.monotonic() >= due:
                due += EVERY
                victims = self.node.children()
                if victims:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(choice.choice(victims), signal.SIGKILL)
                        killed += 1
            return True

        load.run(STORM, kill)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        print(f"killed {killed}")
        self.assertGreater(killed, STORM / EVERY / 2)
        self.assertGreater(ledger.share, 0.9)
        self.assertLess(ledger.longest_gap(), CALM)
        wait_for("six workers again", lambda: self.states() == [b"active"] * 6, 10)
        self.assertEqual(len(self.node.children()), 6)
        self.assert_served()


class AnswerTests(FaultCase):
    """Workers that answer otherwise than they should."""

    profile = {"concurrency": 1}

    def test_late(self) -> None:
        """An answer after the deadline reaches nobody; the deadline was the end."""
        ledger = Ledger()
        load = self.load(ledger, event=cycle(["late", "echo"]), timeout=0.5)
        load.run(SHORT)
        load.finish(PATIENCE)
        # Longer than the last of the late answers takes to come.
        load.event = cycle(["echo"])
        load.run(LATE + 0.3)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertGreater(ledger.count(Ending.DEADLINE, (20991, 3)), 0)

    def test_twice(self) -> None:
        """Of an answer that is given twice the first counts."""
        ledger = self.try_events(SHORT, "twice", "echo")
        self.assertEqual(ledger.share, 1.0)

    def test_strange(self) -> None:
        """What is said on channels of nobody and of the past reaches nobody."""
        ledger = self.try_events(SHORT, "strange", "echo")
        self.assertEqual(ledger.share, 1.0)

    def test_error(self) -> None:
        """An error of the worker's own is the end, whatever it says behind it."""
        ledger = self.try_events(SHORT, "error", "echo")
        self.assertGreater(ledger.count(Ending.ERROR, (42, 7)), 0)

    def test_nonsense(self) -> None:
        """A message that no stream knows ends that one request."""
        ledger = self.try_events(SHORT, "nonsense", "number", "echo")
        self.assertGreater(ledger.count(Ending.ERROR, (7, 5)), 0)
        self.assertGreater(ledger.count(Ending.ERROR, (7, 2)), 0)
        self.assertEqual(self.node.info("faulty")[b"pool"][b"total:crashed"], 0)

    def test_garbage(self) -> None:
        """Bytes that are no frame end the worker, and what it had, with it."""
        ledger = self.try_events(SHORT, "garbage", "echo", "echo")
        self.assertGreater(ledger.count(Ending.ERROR, (6, 4)), 0)

    def test_die(self) -> None:
        """A worker that dies of every third request costs that one request."""
        ledger = self.try_events(SHORT * 2, "die", "echo", "echo")
        lost = ledger.count(Ending.ERROR, (5, 2)) + ledger.count(Ending.ERROR, (2, 104))
        self.assertGreater(lost, 0)
        self.assertEqual(ledger.count(Ending.ERROR), lost)

    def test_flood(self) -> None:
        """A hundred megabytes of output cost the other workers' clients nothing."""
        ledger = Ledger()
        flood = self.load(ledger, event=cycle(["flood"]), width=1)
        others = self.load(ledger, width=2, depth=1)
        flood.connections[0].ask()

        def is_flooding() -> bool:
            flood.turn()
            return flood.is_waiting

        others.run(60.0, is_flooding)
        others.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0)
        self.assertLess(resident(self.node), RESIDENT_LIMIT)


class SilentTests(FaultCase):
    """Workers that stop reading."""

    changes = {"limits": {"write-stall": 1.0}}

    profile = {"heartbeat-timeout": 1.2, "pool-limit": 3, "concurrency": 4}

    def test_stopped(self) -> None:
        """A worker that the system has stopped is ended, and what it had, with it."""
        self.ask_for_workers(3)
        wait_for("three workers", lambda: self.states() == [b"active"] * 3, 10)
        ledger = Ledger()
        load = self.load(ledger, timeout=10.0)
        load.run(SHORT)
        (victim, *_) = self.node.children()
        os.kill(victim, signal.SIGSTOP)
        load.run(1.5)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertGreater(ledger.count(Ending.ERROR, (2, 125)), 0)
        self.assertNotIn(victim, self.node.children())
        wait_for("three again", lambda: self.states() == [b"active"] * 3, 10)

    def test_deaf(self) -> None:
        """One that reads no more is held to the deadlines of its requests."""
        self.ask_for_workers(3)
        wait_for("three workers", lambda: self.states() == [b"active"] * 3, 10)
        deaf = self.connect("faulty")
        deaf.send(1, 0, ["deaf"])
        deaf.send(1, 0, [b"from now on"])
        ledger = self.try_events(SHORT, "echo", timeout=1.0)
        self.assertGreater(ledger.count(Ending.DEADLINE, (20991, 3)), 0)
        self.assertGreater(ledger.count(Ending.REPLY), 100)

    def test_deaf_to_much(self) -> None:
        """One that does not read what a client sends it is disconnected."""
        self.ask_for_workers(3)
        wait_for("three workers", lambda: self.states() == [b"active"] * 3, 10)
        sender = self.connect("faulty")
        chunk = pack([1, 0, [b"x" * (1 << 20)]])
        push = pour(sender, pack([1, 0, ["deaf"]]) + 16 * chunk)
        ledger = Ledger()
        load = self.load(ledger, timeout=10.0)

        def send() -> bool:
            push()
            return "has not read for 1.0 s" not in self.node.log.read_text()

        load.run(30.0, send)
        load.finish(PATIENCE)
        self.assert_kept(ledger)
        self.assertGreater(ledger.count(Ending.REPLY), 100)
        frame = sender.receive()
        self.assertEqual(frame[:2] + frame[2][:1], [1, 1, [2, 125]])


test_suite = live_suite(__name__)
