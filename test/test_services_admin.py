# -*- test-case-name: cocained.test.test_services_admin -*-
"""
The service of operators, on the wire.
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.component import NoArgs
from cocained.errors import NotDrained
from cocained.interfaces import IRemoteService
from cocained.rpc.graph import CLOSE, DISCARDABLE, PRIMITIVE, STREAMING, TERMINAL
from cocained.services.admin import INTERVAL, WATCH_LIMIT, AdminService
from cocained.testing import FakeNode

STATUS, DRAIN, RESUME = 0, 1, 2


class AdminCase(SynchronousTestCase):
    """A client of the service, on a node of which the test has the strings."""

    def setUp(self) -> None:
        self.node = FakeNode()
        self.service = AdminService(self.node, "admin", NoArgs())
        self.client = self.node.client(self.service)

    def take(self) -> list[Any]:
        """Give the frames that came, with a word for each message about progress."""
        return [
            [channel, kind, args[0][b"state"].decode()]
            if kind == 0 and args and b"settling" in args[0]
            else [channel, kind, args]
            for channel, kind, args in self.client.take()
        ]

    def answer(self, kind: int, *args: Any, channel: int = 1) -> Any:
        self.client.send(channel, kind, *args)
        (frame,) = self.client.take()
        return frame


class ContractTests(AdminCase):
    """What is offered."""

    def test_interface(self) -> None:
        """It is a service, of version 1."""
        self.assertTrue(verifyObject(IRemoteService, self.service))
        self.assertEqual(self.service.protocol.version, 1)

    def test_graph(self) -> None:
        """Three methods, of which one tells how far it is."""
        self.assertEqual(
            self.service.protocol.graph,
            {
                0: ("status", TERMINAL, PRIMITIVE),
                1: ("drain", DISCARDABLE, STREAMING),
                2: ("resume", TERMINAL, PRIMITIVE),
            },
        )

    def test_status(self) -> None:
        """The node's report is the answer."""
        channel, kind, (report,) = self.answer(STATUS)

        self.assertEqual((channel, kind), (1, 0))
        self.assertEqual(report[b"uuid"].decode(), self.node.uuid)
        self.assertEqual(report[b"state"], b"serving")
        self.assertEqual(report[b"problems"], [])

    def test_resume(self) -> None:
        """A drain is undone, and answered with nothing."""
        self.node.state = "drained"

        self.assertEqual(self.answer(RESUME), [1, 0, []])

        self.assertEqual(self.node.state, "serving")


class DrainTests(AdminCase):
    """A drain that is watched."""

    def drain(self, *args: Any) -> None:
        self.client.send(1, DRAIN, *args)

    def test_progress(self) -> None:
        """The client hears at once, and again and again."""
        self.drain()
        self.assertEqual(self.take(), [[1, 0, "draining"]])

        for _ in range(3):
            self.node.clock.pass_time(INTERVAL)
            self.assertEqual(self.take(), [[1, 0, "draining"]])

    def test_drained(self) -> None:
        """The end is told, and closes the stream."""
        self.drain()
        self.take()

        self.node.drains[0][1].callback(None)

        self.assertEqual(self.take(), [[1, 0, "drained"], [1, CLOSE, []]])
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_not_drained(self) -> None:
        """So is a drain that has failed, with what the node says of it."""
        self.drain()
        self.take()

        self.node.drains[0][1].errback(NotDrained("too slow"))

        self.assertEqual(self.take(), [[1, 1, [[12, errno.ETIMEDOUT], b"too slow"]]])
        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """The time for requests may be given, whole or not, or left to the node."""
        times: list[list[float]] = [[], [7], [0.5], [0]]
        for channel, given in enumerate(times, 1):
            self.client.send(channel, DRAIN, *given)

        self.assertEqual([t for t, _ in self.node.drains], [None, 7.0, 0.5, 0.0])

    def test_bad_timeouts(self) -> None:
        """What is no time is refused, and nothing is drained."""
        bad = (-1, float("nan"), float("inf"), 86_401, "7", True, None, [7])
        for channel, given in enumerate(bad, 1):
            answer = self.answer(DRAIN, given, channel=channel)

            self.assertEqual(answer[:2], [channel, 1], given)
            self.assertEqual(answer[2][0], [7, 2], given)
        self.assertEqual(self.node.drains, [])

    def test_discarded(self) -> None:
        """A client may look away; it hears no more, and the drain goes on."""
        self.drain()
        self.take()

        self.client.send(1, 0)
        self.node.clock.pass_time(INTERVAL)

        self.assertEqual(self.take(), [])
        self.assertEqual(self.node.clock.getDelayedCalls(), [])
        self.assertEqual(self.client.session.channels, {})

    def test_lost(self) -> None:
        """So it is with one who goes away."""
        self.drain()

        self.client.disconnect()

        self.assertEqual(self.node.clock.getDelayedCalls(), [])

    def test_slow_reader(self) -> None:
        """One that does not read is told nothing but the end."""
        self.drain()
        self.take()
        session = self.client.session
        session.congested = True
        self.node.clock.pass_time(10 * INTERVAL)
        session.congested = False
        self.assertEqual(self.take(), [])

        self.node.drains[0][1].callback(None)

        self.assertEqual(self.take(), [[1, 0, "drained"], [1, CLOSE, []]])

    def test_too_many(self) -> None:
        """So many may watch at a time, and whoever leaves makes room."""
        for channel in range(1, WATCH_LIMIT + 1):
            self.client.send(channel, DRAIN)
        self.take()

        answer = self.answer(DRAIN, channel=WATCH_LIMIT + 1)

        self.assertEqual(answer[1], 1)
        self.assertIn(b"let some of them go", answer[2][1])
        self.assertEqual(len(self.node.drains), WATCH_LIMIT)
        self.client.send(1, 0)
        self.client.send(WATCH_LIMIT + 2, DRAIN)
        self.assertEqual(len(self.node.drains), WATCH_LIMIT + 1)

    def test_ends_the_channel(self) -> None:
        """When it is over the channel is forgotten."""
        self.drain()
        self.assertEqual(len(self.client.session.channels), 1)

        self.node.drains[0][1].callback(None)

        self.assertEqual(self.client.session.channels, {})

    def test_drained_already(self) -> None:
        """A node that is at rest says so, and that is all."""
        self.node.at_rest = True

        self.drain()

        frames = self.take()
        self.assertEqual(frames, [[1, 0, "drained"]] * 2 + [[1, CLOSE, []]])
        self.assertEqual(self.client.session.channels, {})
        self.assertEqual(self.node.clock.getDelayedCalls(), [])
