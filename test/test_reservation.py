# -*- test-case-name: cocained.test.test_reservation -*-
"""
Ports that are reserved: by a directory, and on the real loopback.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.directory import Directory
from cocained.errors import CocainedError, StorageError
from cocained.ports import Ports
from cocained.reservation import Reservation
from cocained.rpc.wire import Wiring
from cocained.test.service_case import PortReactor


class StubReservation:
    """A port of a machine some of whose ports are taken."""

    taken: set[int] = set()
    held: list[tuple[str, int]] = []

    def __init__(self, interface: str, number: int) -> None:
        if number in self.taken:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        self.number = number or 40000
        self._place = (interface, self.number)
        self.held.append(self._place)

    def release(self) -> None:
        self.held.remove(self._place)


class DirectoryTests(SynchronousTestCase):
    """What a directory reserves."""

    def setUp(self) -> None:
        StubReservation.taken = set()
        StubReservation.held = []

    def directory(
        self,
        shared: tuple[int, int] = (2000, 2003),
        pinned: Mapping[str, int] | None = None,
    ) -> Directory:
        return Directory(
            Wiring(cast(Any, PortReactor()), None),
            "::",
            ["192.0.2.1", "2001:db8::1"],
            Ports(pinned or {}, shared),
            cast(Any, StubReservation),
        )

    def test_shared(self) -> None:
        """A port of the range is kept at the interface, and given at each address."""
        directory = self.directory((2000, 2001))

        self.assertEqual(
            directory.reserve("x"), [("192.0.2.1", 2000), ("2001:db8::1", 2000)]
        )
        self.assertEqual(StubReservation.held, [("::", 2000)])
        self.assertEqual(directory.endpoints("x"), ())

    def test_pinned(self) -> None:
        """A name may have a port of its own."""
        directory = self.directory(pinned={"app@1:virtual": 3000})

        self.assertEqual(directory.reserve("app@1:virtual")[0], ("192.0.2.1", 3000))

    def test_has_shared(self) -> None:
        """It says whether there is a range."""
        self.assertTrue(self.directory().has_shared)
        self.assertFalse(self.directory((0, 0)).has_shared)

    def test_taken_by_others(self) -> None:
        """A port that somebody else has is passed over."""
        StubReservation.taken = {2000, 2002}

        self.assertEqual(self.directory().reserve("x")[0], ("192.0.2.1", 2001))

    def test_all_taken_by_others(self) -> None:
        """When others have them all, the error says so."""
        StubReservation.taken = {2000, 2001, 2002}

        error = self.assertRaises(StorageError, self.directory().reserve, "x")

        self.assertEqual(error.code, errno.EADDRINUSE)
        self.assertIn("network.pinned", error.reason)

    def test_exhausted(self) -> None:
        """When all are in use here, the error names the range's key."""
        directory = self.directory((2000, 2001))
        directory.reserve("x")

        error = self.assertRaises(CocainedError, directory.reserve, "y")

        self.assertIn("network.shared", error.reason)

    def test_twice(self) -> None:
        """A name has one port."""
        directory = self.directory()
        directory.reserve("x")

        self.assertRaises(CocainedError, directory.reserve, "x")
        self.assertEqual(len(StubReservation.held), 1)

    def test_release(self) -> None:
        """A port that is given back is there for others, after all that are free."""
        directory = self.directory()
        first = directory.reserve("x")
        directory.release("x")
        directory.release("x")
        self.assertEqual(StubReservation.held, [])

        later = [directory.reserve(name) for name in ("a", "b", "c")]

        self.assertEqual(later[2], first)

    def test_close(self) -> None:
        """A directory that is closed keeps nothing."""
        directory = self.directory()
        directory.reserve("x")

        self.successResultOf(Deferred.fromCoroutine(directory.close()))

        self.assertEqual(StubReservation.held, [])


class SocketTests(SynchronousTestCase):
    """What nobody else gets."""

    def reserve(self, interface: str, number: int = 0) -> Reservation:
        reservation = Reservation(interface, number)
        self.addCleanup(reservation.release)
        return reservation

    def test_refuses(self) -> None:
        """Nobody listens there."""
        number = self.reserve("127.0.0.1").number

        self.assertRaises(
            ConnectionRefusedError, socket.create_connection, ("127.0.0.1", number)
        )

    def test_nobody_else(self) -> None:
        """Neither a listener nor another reservation gets it, until it is released."""
        reservation = self.reserve("127.0.0.1")
        place = ("127.0.0.1", reservation.number)
        self.assertRaises(OSError, socket.create_server, place)
        self.assertRaises(OSError, Reservation, *place)

        reservation.release()

        socket.create_server(place).close()

    def test_every_address(self) -> None:
        """All addresses are those of both families."""
        number = self.reserve("::").number

        self.assertRaises(OSError, Reservation, "127.0.0.1", number)
        self.assertRaises(OSError, Reservation, "::1", number)
