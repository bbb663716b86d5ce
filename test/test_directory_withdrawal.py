# -*- test-case-name: cocained.test.test_directory_withdrawal -*-
"""
Services that are announced no more, and those that answer no more.
"""

from __future__ import annotations

import errno
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from cocained.component import Component, NoArgs
from cocained.errors import StorageError
from cocained.rpc.codec import pack
from cocained.rpc.dispatch import Protocol
from cocained.test.directory_case import DirectoryCase, EchoService, Recorder
from cocained.test.service_case import PortReactor


class WithdrawalTests(DirectoryCase):
    """Services that are announced to nobody any more."""

    def setUp(self) -> None:
        super().setUp()
        self.offers = self.directory()
        self.observer = Recorder()
        self.expose(self.offers, "a", "b")
        self.offers.subscribe(self.observer)
        self.observer.told.clear()

    def test_told(self) -> None:
        """Observers hear that all are gone; the ports stay open."""
        self.offers.withdraw()

        self.assertEqual(self.observer.told, ["a", "b"])
        self.assertEqual(self.reactor.closed, [])
        self.assertEqual(len(self.offers.endpoints("a")), 1)

    def test_newcomers(self) -> None:
        """Neither new services nor new observers change that."""
        self.offers.withdraw()
        self.observer.told.clear()
        late = Recorder()

        self.offers.subscribe(late)
        self.expose(self.offers, "c")
        self.successResultOf(self.offers.remove("a"))

        self.assertEqual((self.observer.told, late.told), ([], []))

    def test_restored(self) -> None:
        """All that there are by then are announced again."""
        self.offers.withdraw()
        self.expose(self.offers, "c")
        self.successResultOf(self.offers.remove("a"))
        self.observer.told.clear()

        self.offers.restore()
        self.offers.restore()

        self.assertEqual([told[0] for told in self.observer.told], ["b", "c"])

    def test_found(self) -> None:
        """Who has nowhere else to go can still ask where they listen."""
        self.assertIsNone(self.offers.withdrawn("a"))
        self.offers.withdraw()

        graph = EchoService.protocol.graph
        endpoints = (("127.0.0.1", PortReactor.FIRST),)
        self.assertEqual(self.offers.withdrawn("a"), (endpoints, 5, graph, False))
        self.assertIsNone(self.offers.withdrawn("nope"))

    def test_own(self) -> None:
        """Those of the configuration are told apart from apps."""
        self.offers.withdraw(own={"b"})

        own = [self.offers.withdrawn(name) for name in ("a", "b")]

        self.assertEqual([each is not None and each.own for each in own], [False, True])

    def test_not_found_behind_closed_ports(self) -> None:
        """But not where nobody answers; some may be kept open to the last."""
        self.offers.withdraw()

        self.successResultOf(Deferred.fromCoroutine(self.offers.quiesce(keep=("b",))))

        self.assertIsNone(self.offers.withdrawn("a"))
        self.assertIsNotNone(self.offers.withdrawn("b"))
        self.assertEqual(self.reactor.closed, [PortReactor.FIRST])

    def test_exposed_again(self) -> None:
        """A service that comes back is heard of like any other."""
        self.offers.withdraw()
        self.successResultOf(Deferred.fromCoroutine(self.offers.quiesce()))
        self.successResultOf(self.offers.remove("a"))

        self.expose(self.offers, "a")

        self.assertIsNotNone(self.offers.withdrawn("a"))


class SlowService(Component[NoArgs]):
    """Answers when the test does."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        super().__init__(cast(Any, None), "slow", NoArgs())
        self.answers: list[Deferred[bytes]] = []

    @protocol.method(0)
    def ask(self) -> Deferred[bytes]:
        self.answers.append(Deferred())
        return self.answers[-1]


class RefusalTests(DirectoryCase):
    """The last moments of a node: what runs is answered, what comes is refused."""

    def setUp(self) -> None:
        super().setUp()
        self.offers = self.directory()
        self.service = SlowService()
        self.expose(self.offers, "slow", "kept")
        self.clients = {name: self.connect(name) for name in ("slow", "kept")}

    def connect(self, name: str) -> tuple[Any, StringTransport]:
        port = self.offers.endpoints(name)[0][1]
        protocol = self.reactor.ports[port].factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, name: str, channel: int = 1) -> None:
        self.clients[name][0].dataReceived(pack([channel, 0, []]))

    def said(self, name: str) -> bytes:
        transport = self.clients[name][1]
        data = transport.value()
        transport.clear()
        return data

    def test_owed(self) -> None:
        """Calls that wait are counted, of removed services, too."""
        self.ask("slow")
        self.ask("kept")
        self.ask("kept", 2)
        self.successResultOf(self.offers.remove("slow"))
        self.assertEqual(self.offers.owed, 3)

        for answer in self.service.answers:
            answer.callback(b"x")

        self.assertEqual(self.offers.owed, 0)

    def test_refused(self) -> None:
        """New calls have the error; those that run are answered."""
        self.ask("slow")
        self.offers.refuse(StorageError(errno.EPIPE, "go away"), keep=("kept",))

        self.ask("slow", 2)
        self.assertIn(b"go away", self.said("slow"))
        self.service.answers[0].callback(b"well")
        self.reactor.advance(0)

        self.assertIn(b"well", self.said("slow"))
        self.assertEqual(len(self.service.answers), 1)

    def test_kept(self) -> None:
        """Some services go on as they were."""
        self.offers.refuse(StorageError(errno.EPIPE, "go away"), keep=("kept",))

        self.ask("kept")

        self.assertEqual(len(self.service.answers), 1)
