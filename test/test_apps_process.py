"""
Tests for :mod:`cocained.apps.process`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained.apps.process import Process
from cocained.errors import CocainedError, IsolateError, SpawnError
from cocained.interfaces import IWorkerHandle, IWorkerObserver


@implementer(IWorkerHandle)
class Handle:
    """A process that remembers what was done to it."""

    identity = "process 7"

    def __init__(self) -> None:
        self.done: list[str] = []

    def terminate(self) -> None:
        self.done.append("terminate")

    def kill(self) -> None:
        self.done.append("kill")

    def usage(self) -> Mapping[str, float] | None:
        return {"memory": 3.0}


class Isolate:
    """One that is asked to spawn, and answers when the test says so."""

    name = "app"

    def __init__(self) -> None:
        self.cancelled = 0
        self.asked: list[tuple[Any, ...]] = []
        self.deferred: Deferred[IWorkerHandle] = Deferred(self._cancel)

    def _cancel(self, deferred: Deferred[IWorkerHandle]) -> None:
        self.cancelled += 1

    def spawn(self, *arguments: Any) -> Deferred[IWorkerHandle]:
        self.asked.append(arguments)
        return self.deferred


class Launch:
    """What is started."""

    executable = "worker"
    environment = {"A": "b"}

    def __init__(self) -> None:
        self.error: IsolateError | None = None

    def arguments(self, uuid: str) -> dict[str, str]:
        if self.error is not None:
            raise self.error
        return {"--uuid": uuid}


class ProcessTests(SynchronousTestCase):
    """A process, from being asked for to its end."""

    def setUp(self) -> None:
        self.heard: list[Any] = []
        self.isolate = Isolate()
        self.launch = Launch()
        self.handle = Handle()
        isolate: Any = self.isolate
        self.process = Process(isolate, self.launch, 2, self)

    # Parent

    def spawned(self) -> None:
        self.heard.append("spawned")

    def spawn_failed(self, error: CocainedError | None) -> None:
        self.heard.append(error)

    def printed(self, lines: list[bytes]) -> None:
        self.heard.append(lines)

    def exited(self) -> None:
        self.heard.append("exited")

    def run_it(self) -> None:
        """Start it, and let it run."""
        self.process.start("u")
        self.isolate.deferred.callback(self.handle)

    def test_interface(self) -> None:
        """It is what an isolate reports to."""
        self.assertTrue(verifyObject(IWorkerObserver, self.process))

    def test_asked(self) -> None:
        """The isolate gets program, command line, environment and observer."""
        self.process.start("u")

        self.assertEqual(
            self.isolate.asked, [("worker", {"--uuid": "u"}, {"A": "b"}, self.process)]
        )
        self.assertFalse(self.process.is_over)
        self.assertFalse(self.process.has_run)

    def test_nothing_to_start(self) -> None:
        """Where it cannot be said what to start, the caller hears of it."""
        self.launch.error = IsolateError("no locator")

        self.assertRaises(IsolateError, self.process.start, "u")

        self.assertEqual((self.isolate.asked, self.heard), ([], []))
        self.assertTrue(self.process.is_over)

    def test_spawned(self) -> None:
        """It runs, and can be asked who it is and what it takes."""
        self.run_it()

        self.assertEqual(self.heard, ["spawned"])
        self.assertTrue(self.process.is_running)
        self.assertEqual(self.process.identity, "process 7")
        self.assertEqual(self.process.usage(), {"memory": 3.0})

    def test_before(self) -> None:
        """Before it runs there is nothing to tell of it."""
        self.assertEqual(self.process.identity, "")
        self.assertIsNone(self.process.usage())

    def test_failed(self) -> None:
        """A refusal is passed on, without the frames of whoever asked."""
        self.process.start("u")
        self.isolate.deferred.errback(SpawnError("no such file"))

        (error,) = self.heard
        self.assertIsInstance(error, SpawnError)
        self.assertIsNone(error.__traceback__)
        self.assertTrue(self.process.is_over)
        self.assertFalse(self.process.has_run)

    def test_bug(self) -> None:
        """Anything else is logged, and becomes an error of the isolate."""
        self.process.start("u")
        self.isolate.deferred.errback(ZeroDivisionError("a bug"))

        (error,) = self.heard
        self.assertIsInstance(error, IsolateError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_given_up(self) -> None:
        """What does not run yet is given up by ``kill``; that is no error."""
        self.process.start("u")

        self.process.kill()

        self.assertEqual((self.isolate.cancelled, self.heard), (1, [None]))
        self.assertEqual(self.process.end, "never started")

    def test_ended(self) -> None:
        """It is asked to end, then made to, and nothing more once it is gone."""
        self.run_it()

        self.process.terminate()
        self.process.kill()
        self.process.exited("exited with status 1", True)
        self.process.terminate()
        self.process.kill()

        self.assertEqual(self.handle.done, ["terminate", "kill"])
        self.assertEqual(self.heard, ["spawned", "exited"])
        self.assertEqual(self.process.end, "exited with status 1")
        self.assertTrue(self.process.is_over)
        self.assertTrue(self.process.has_run)

    def test_printed(self) -> None:
        """Whole lines are passed on, and the last of them are kept."""
        self.run_it()
        self.process.output(b"one\ntwo\nth")
        self.process.output(b"ree\n")

        self.assertEqual(self.heard[1:], [[b"one", b"two"], [b"three"]])
        self.assertEqual(self.process.lines.dump(), [b"two", b"three"])
