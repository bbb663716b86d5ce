# -*- test-case-name: cocained.test.test_rpc_view -*-
"""
Services of which some clients have less.
"""

from __future__ import annotations

from cocained.errors import Forbidden
from cocained.rpc.arguments import blob
from cocained.rpc.dispatch import Dispatch, Protocol
from cocained.rpc.session import Session
from cocained.rpc.view import View, forbidden
from cocained.test.rpc_case import SessionCase, frame


class Service:
    """Two methods and a stream."""

    protocol = Protocol(version=7)

    @protocol.method(0, blob)
    def plain(self, value: bytes) -> bytes:
        return b"plain " + value

    @protocol.method(1, blob)
    def other(self, value: bytes) -> bytes:
        return b"other " + value

    @protocol.stream(2)
    def talk(self, *args: object) -> None:
        raise AssertionError("it is not for anybody here")


class ViewTests(SessionCase):
    """A view on the wire."""

    def setUp(self) -> None:
        super().setUp()
        service = Service()
        self.view = View(service, other=lambda value: b"mine " + value, talk=forbidden)
        self.session = Session(self.turn, self.link, Dispatch(self.view))

    def test_graph(self) -> None:
        """Its graph and version are those of the service."""
        self.assertIs(self.view.protocol, Service.protocol)

    def test_methods(self) -> None:
        """What is not replaced is the service's; arguments are converted as ever."""
        self.receive(frame(1, 0, b"x"), frame(2, 1, b"x"), frame(3, 1, 7))

        first, second, third = self.link.frames()
        self.assertEqual(first, [1, 0, [b"plain x"]])
        self.assertEqual(second, [2, 0, [b"mine x"]])
        self.assertEqual(third[:2], [3, 1])
        self.assertEqual(third[2][0], [7, 2])

    def test_forbidden(self) -> None:
        """What is forbidden is answered with an error that says so."""
        self.receive(frame(1, 2))

        ((channel, kind, (pair, reason)),) = self.link.frames()
        self.assertEqual((channel, kind, pair), (1, 1, [12, 13]))
        self.assertIn(b"Permission denied", reason)

    def test_unknown(self) -> None:
        """What the service has not, the view has not."""
        for name in ("nothing", "__init_subclass_with_this__", "link"):
            self.assertFalse(hasattr(self.view, name))
        self.assertRaises(Forbidden, self.view.talk, 1, 2, 3)
