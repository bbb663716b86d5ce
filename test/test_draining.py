# -*- test-case-name: cocained.test.test_draining -*-
"""
How a node comes to rest, with a directory of real ports in memory.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.directory import Directory
from cocained.draining import Draining, State
from cocained.errors import NotDrained
from cocained.interfaces import IRemoteService, IReporter, IResumable
from cocained.ports import Ports
from cocained.rpc.dispatch import Protocol
from cocained.rpc.wire import Wiring
from cocained.test.directory_case import Recorder
from cocained.test.service_case import LogCase, PortReactor


@implementer(IRemoteService, IResumable, IReporter)
class BusyService(Component[NoArgs]):
    """Has as many requests as a test says, and ends when it says so."""

    protocol = Protocol(version=1)

    def __init__(self, name: str) -> None:
        super().__init__(cast(Any, None), name, NoArgs())
        self.life: list[str] = []
        self.requests = 0
        self.ending: Deferred[None] | None = None
        self.resuming: Callable[[], None] = lambda: None

    def drain(self) -> Deferred[None] | None:
        self.life.append("drain")
        return self.ending

    def resume(self) -> None:
        self.life.append("resume")
        self.resuming()

    def report(self) -> dict[str, Any]:
        return {"requests": self.requests, "busy": int(bool(self.requests))}


@implementer(IRemoteService)
class PlainService(Component[NoArgs]):
    """Knows of no drain, and reports nothing."""

    protocol = Protocol(version=1)


class DrainingCase(LogCase):
    """A node with two services, one of them busy."""

    def setUp(self) -> None:
        self.reactor = PortReactor()
        self.directory = Directory(
            Wiring(cast(Any, self.reactor)),
            "127.0.0.1",
            ["127.0.0.1"],
            Ports({}, (0, 0)),
        )
        self.busy = BusyService("busy")
        plain = PlainService(cast(Any, None), "plain", NoArgs())
        services: dict[str, Any] = {"busy": self.busy, "plain": plain}
        self.draining = Draining(self.reactor, self.directory, services, patience=10.0)
        self.draining.settle = 5.0
        self.observer = Recorder()
        for name, service in services.items():
            self.successResultOf(self.directory.expose(name, service))
        self.directory.subscribe(self.observer)
        self.observer.told.clear()

    def work(self, requests: int = 1) -> Deferred[None]:
        """Let the service have requests; gives what ends them."""
        self.busy.requests = requests
        self.busy.ending = Deferred()
        return self.busy.ending

    def refusal(self, waiting: Deferred[None]) -> NotDrained:
        error = self.failureResultOf(waiting, NotDrained).value
        assert isinstance(error, NotDrained)
        return error


class DrainTests(DrainingCase):
    """From the withdrawal to the last request."""

    def test_withdrawn_at_once(self) -> None:
        """Observers hear first of all; services go on, and their ports are open."""
        self.draining.drained()

        self.assertEqual(sorted(self.observer.told), ["busy", "plain"])
        self.assertIs(self.draining.state, State.DRAINING)
        self.assertEqual(self.busy.life, [])
        self.assertEqual(self.reactor.closed, [])

    def test_settles(self) -> None:
        """Services refuse what is new only when the node has settled."""
        waiting = self.draining.drained()
        self.reactor.advance(4.9)
        self.assertEqual(self.busy.life, [])
        self.assertNoResult(waiting)

        self.reactor.advance(0.1)

        self.assertEqual(self.busy.life, ["drain"])
        self.successResultOf(waiting)
        self.assertIs(self.draining.state, State.DRAINED)

    def test_does_not_settle(self) -> None:
        """Where nobody else is, there is nothing to wait for."""
        self.draining.settle = 0.0

        self.successResultOf(self.draining.drained())

    def test_settled(self) -> None:
        """One can wait for that alone."""
        self.work()
        waiting = self.draining.settled()
        self.reactor.advance(4.9)
        self.assertNoResult(waiting)

        self.reactor.advance(0.2)

        self.successResultOf(waiting)
        self.successResultOf(self.draining.settled())

    def test_finishes(self) -> None:
        """The drain is over when the last request is."""
        ending = self.work()
        waiting = self.draining.drained()
        self.reactor.advance(14)
        self.assertNoResult(waiting)

        ending.callback(None)

        self.successResultOf(waiting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_joined(self) -> None:
        """Who asks later waits for the same drain; afterwards nobody waits."""
        ending = self.work()
        first = self.draining.drained()
        self.reactor.advance(6)
        second = self.draining.drained()
        ending.callback(None)

        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.draining.drained())
        self.assertEqual(self.busy.life, ["drain"])

    def test_too_late(self) -> None:
        """Requests that take too long fail the wait; the drain goes on."""
        ending = self.work(3)
        waiting = self.draining.drained(2.0)
        patient = self.draining.drained(60.0)
        self.reactor.advance(5)
        self.reactor.advance(1.9)
        self.assertNoResult(waiting)

        self.reactor.advance(0.2)

        error = self.refusal(waiting)
        self.assertEqual(error.code, errno.ETIMEDOUT)
        self.assertIn("still running 2 s after new ones were refused: 3", str(error))
        self.assertIs(self.draining.state, State.DRAINING)
        ending.callback(None)
        self.successResultOf(patient)

    def test_cancelled(self) -> None:
        """Who waits no more changes nothing, and leaves no timer."""
        ending = self.work()
        waiting = self.draining.drained()
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.reactor.advance(5)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

        ending.callback(None)

        self.assertIs(self.draining.state, State.DRAINED)

    def test_a_bug(self) -> None:
        """A service that cannot be drained does not keep others from it."""
        self.work().errback(ZeroDivisionError())
        waiting = self.draining.drained()

        self.reactor.advance(5)

        self.successResultOf(waiting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_given_up(self) -> None:
        """At the end of the node nobody waits for what still runs."""
        ending = self.work()
        waiting = self.draining.drained()
        self.reactor.advance(5)

        self.draining.give_up("the node stops")

        self.assertEqual(str(self.refusal(waiting)), "the node stops")
        self.assertTrue(ending.called)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertIs(self.draining.state, State.DRAINING)


class ResumeTests(DrainingCase):
    """A drain undone."""

    def resume(self) -> None:
        self.observer.told.clear()
        self.successResultOf(self.draining.resume())
        self.assertIs(self.draining.state, State.SERVING)
        self.assertEqual(
            sorted(told[0] for told in self.observer.told), ["busy", "plain"]
        )

    def test_drained(self) -> None:
        """All services are announced again, and take requests."""
        self.draining.drained()
        self.reactor.advance(5)

        self.resume()

        self.assertEqual(self.busy.life, ["drain", "resume"])

    def test_while_settling(self) -> None:
        """So it is before anything has been refused; nothing is refused later."""
        waiting = self.draining.drained()
        settled = self.draining.settled()
        self.reactor.advance(2)

        self.resume()
        self.reactor.advance(60)

        self.assertEqual(self.refusal(waiting).code, errno.ECANCELED)
        self.refusal(settled)
        self.assertEqual(self.busy.life, ["resume"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_while_finishing(self) -> None:
        """The drain that was undone does not come to its end later."""
        self.work()
        waiting = self.draining.drained()
        self.reactor.advance(6)

        self.resume()

        self.refusal(waiting)
        self.assertIs(self.draining.state, State.SERVING)

    def test_serving(self) -> None:
        """A node that serves has nothing to undo."""
        self.successResultOf(self.draining.resume())

        self.assertEqual((self.observer.told, self.busy.life), ([], []))

    def test_again(self) -> None:
        """After that it can be drained once more."""
        self.draining.drained()
        self.reactor.advance(5)
        self.resume()

        waiting = self.draining.drained()
        self.reactor.advance(4.9)
        self.assertNoResult(waiting)
        self.reactor.advance(0.1)

        self.successResultOf(waiting)
        self.assertEqual(self.busy.life, ["drain", "resume", "drain"])

    def test_a_bug(self) -> None:
        """A service that cannot resume does not keep the node from serving."""

        def fail() -> None:
            raise ZeroDivisionError

        self.busy.resuming = fail
        self.draining.drained()
        self.reactor.advance(5)

        self.resume()

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class ProgressTests(DrainingCase):
    """What people are told meanwhile."""

    def test_serving(self) -> None:
        """A node that serves has requests, and no drain."""
        self.busy.requests = 4

        self.assertEqual(
            self.draining.progress(),
            {"state": "serving", "requests": 4, "apps": 1, "seconds": 0, "settling": 0},
        )

    def test_settling(self) -> None:
        """How long it has been draining, and how long it still serves."""
        self.work(2)
        self.draining.drained()
        self.reactor.advance(2)

        self.assertEqual(
            self.draining.progress(),
            {
                "state": "draining",
                "requests": 2,
                "apps": 1,
                "seconds": 2,
                "settling": 3,
            },
        )

    def test_drained(self) -> None:
        """At the end nothing is left."""
        self.draining.drained()
        self.reactor.advance(5)

        self.assertEqual(
            self.draining.progress(),
            {"state": "drained", "requests": 0, "apps": 0, "seconds": 5, "settling": 0},
        )
