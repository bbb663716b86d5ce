"""
The service of an app (protocol.md §7).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.invocation import Invocation
from cocained.apps.service import AppService
from cocained.errors import AppStopped
from cocained.rpc.headers import Headers
from cocained.rpc.session import Session
from cocained.test.app_case import CLOSE, CONTROL, ENQUEUE, ERROR, INFO, WRITE
from cocained.testing import FakeNode

STREAM: Any = {0: ("write", None), 1: ("error", {}), 2: ("close", {})}
PRIMITIVE: Any = {0: ("value", {}), 1: ("error", {})}


class Served:
    """An app that notes what it is asked."""

    name = "echo"

    def __init__(self) -> None:
        self.events: list[tuple[int, Headers, bytes]] = []
        self.numbers: list[int] = []

    def enqueue(
        self, session: Session, channel: int, headers: Headers, event: bytes
    ) -> Invocation:
        self.events.append((channel, headers, event))
        raise AppStopped()

    def report(self) -> dict[str, Any]:
        return {"load": 1, "pool": {"slaves": {}}}

    def control(self, wanted: int) -> None:
        self.numbers.append(wanted)


class AppServiceTests(SynchronousTestCase):
    """Its graph and its methods."""

    def setUp(self) -> None:
        self.served = Served()
        self.service = AppService(self.served)
        self.client = FakeNode().client(self.service)

    def test_graph(self) -> None:
        """Version and graph are those of the original."""
        self.assertEqual(self.service.protocol.version, 1)
        self.assertEqual(
            self.service.protocol.graph,
            {
                0: ("enqueue", STREAM, STREAM),
                1: ("info", {}, PRIMITIVE),
                2: ("control", STREAM, PRIMITIVE),
            },
        )

    def test_name(self) -> None:
        """It is called as the app is: row 122 of legacy-and-seeds.md."""
        self.assertEqual(self.service.name, "echo")

    def test_behind_walls(self) -> None:
        """Workers of other apps can send it events, and do nothing else."""
        door: Any = None
        self.assertIs(self.service.seen_from(door, False), self.service)
        client = FakeNode().client(self.service.seen_from(door, True))

        client.send(1, ENQUEUE, b"event")
        client.send(2, INFO)
        client.send(3, CONTROL)

        _, info, control = client.take()
        self.assertEqual([event for _, _, event in self.served.events], [b"event"])
        for answer in (info, control):
            self.assertEqual((answer[1], answer[2][0]), (ERROR, [12, 13]))

    def test_life(self) -> None:
        """It has nothing to start and nothing to stop: the app has."""
        service = self.service

        self.assertEqual([service.start(), service.drain(), service.stop()], [None] * 3)

    def test_enqueue(self) -> None:
        """The event goes on with its headers; the tag does not."""
        headers = [[False, b"x-my", b"v"]]

        self.client.send(1, ENQUEUE, b"event", b"tag", headers=headers)

        self.assertEqual(self.served.events, [(1, [(b"x-my", b"v")], b"event")])

    def test_refused(self) -> None:
        """What the app says no to is an error on that channel."""
        self.client.send(1, ENQUEUE, b"event")

        self.assertEqual(self.client.take()[0][:2], [1, 1])
        self.assertEqual(self.client.session.channels, {})

    def test_info(self) -> None:
        """The report is one map."""
        self.client.send(1, INFO)

        self.assertEqual(
            self.client.take(), [[1, 0, [{b"load": 1, b"pool": {b"slaves": {}}}]]]
        )

    def test_ping(self) -> None:
        """A ping is answered (A20)."""
        self.client.send(1, 65533)

        self.assertEqual(self.client.take(), [[1, 0, []]])

    def test_unknown_method(self) -> None:
        """A method that is not there is an error on its channel only (A19)."""
        self.client.send(1, 3)
        self.client.send(2, INFO)

        answers = self.client.take()
        self.assertEqual(answers[0][2][0], [7, 5])
        self.assertEqual(answers[1][:2], [2, 0])

    def test_control(self) -> None:
        """Numbers go to the app until the channel ends (C1)."""
        self.client.send(1, CONTROL)
        self.client.send(1, WRITE, 3)
        self.client.send(1, WRITE, -5)
        self.client.send(1, CLOSE)
        self.client.send(1, WRITE, 9)

        self.assertEqual(self.served.numbers, [3, -5, 0])
        self.assertEqual(self.client.take(), [])

    def test_control_ends_otherwise(self) -> None:
        """An error, a mistake and a loss all mean automatic again (C2)."""
        for kind, args in ((ERROR, [[1, 2], b"x"]), (WRITE, [b"x"]), (7, [])):
            self.setUp()
            self.client.send(1, CONTROL)
            self.client.send(1, kind, *args)
            self.assertEqual(self.served.numbers, [0], kind)
            self.assertEqual(self.client.session.channels, {})
        self.setUp()
        self.client.send(1, CONTROL)

        self.client.disconnect()

        self.assertEqual(self.served.numbers, [0])
