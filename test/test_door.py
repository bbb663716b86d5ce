# -*- test-case-name: cocained.test.test_door -*-
"""
Directories of UNIX sockets: real directories, and sockets that lead to the test.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Collection
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from cocained.component import Component, NoArgs
from cocained.directory import Directory
from cocained.door import PATH_LIMIT, Access, Door
from cocained.errors import CocainedError, DoorError, StorageError
from cocained.interfaces import IBehindDoors, IDoor, IRemoteService
from cocained.ports import Ports
from cocained.rpc.codec import pack
from cocained.rpc.dispatch import Protocol
from cocained.rpc.view import View
from cocained.rpc.wire import Wiring
from cocained.test.directory_case import EchoService
from cocained.test.service_case import LogCase, PortReactor


class UnixPort:
    """A UNIX socket that a :class:`UnixReactor` listens at: a real file."""

    def __init__(self, path: str, factory: Any, mode: int) -> None:
        self.path = path
        self.factory = factory
        self.mode = mode
        #: fires when the socket is to be closed, if that is to take a while
        self.held: Deferred[None] | None = None
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()

    def stopListening(self) -> Deferred[None] | None:  # noqa: N802 - Twisted's name
        if self.held is None:
            self.close()
            return None
        return self.held.addCallback(lambda _: self.close())

    def close(self) -> None:
        # As Twisted's: it removes the file, too.
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class UnixReactor(PortReactor):
    """A machine with ports in memory, and UNIX sockets as files."""

    def __init__(self) -> None:
        super().__init__()
        self.unix: dict[str, UnixPort] = {}

    def listenUNIX(  # noqa: N802 - Twisted's name
        self,
        address: str,
        factory: Any,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,  # noqa: N803 - Twisted's name
    ) -> Any:
        self.unix[address] = UnixPort(address, factory, mode)
        return self.unix[address]


@implementer(IRemoteService, IBehindDoors)
class DoorService(Component[NoArgs]):
    """Tells each door something else."""

    protocol = Protocol(version=3)

    @protocol.method(0)
    def ask(self) -> bytes:
        return b"all"

    def seen_from(self, door: IDoor, walled: bool) -> Any:
        return View(self, ask=lambda: b"walled" if walled else b"open")


class DoorCase(LogCase):
    """A directory of services in whose node doors are opened."""

    def setUp(self) -> None:
        # A UNIX socket's path holds about a hundred bytes: trial's is too long.
        self.place = tempfile.mkdtemp(prefix="cd")
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.path = os.path.join(self.place, "x.door")
        self.reactor = UnixReactor()
        self.addCleanup(self.close_sockets)
        self.directory = Directory(
            Wiring(cast(Any, self.reactor)),
            "127.0.0.1",
            ["127.0.0.1"],
            Ports({}, (0, 0)),
        )
        self.service: Any = EchoService(cast(Any, None), "echo", NoArgs())

    def close_sockets(self) -> None:
        for port in self.reactor.unix.values():
            port.close()

    def expose(self, *names: str) -> None:
        for name in names:
            self.successResultOf(self.directory.expose(name, self.service))

    def open(self, *services: str, **how: Any) -> Door:
        door = self.directory.open_door(self.path, services, **how)
        assert isinstance(door, Door)
        return door

    def inside(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def connect(self, name: str) -> tuple[Any, StringTransport]:
        port = self.reactor.unix[os.path.join(self.path, name)]
        protocol = port.factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        return protocol, transport

    def ask(self, name: str, *args: Any) -> bytes:
        protocol, transport = self.connect(name)
        protocol.dataReceived(pack([1, 0, list(args)]))
        return transport.value()


class OpenTests(DoorCase):
    """What can be reached through a door."""

    def test_interface(self) -> None:
        """It is a door, and the test's service has something for doors."""
        self.assertTrue(verifyObject(IDoor, self.open()))
        service = DoorService(cast(Any, None), "x", NoArgs())
        self.assertTrue(verifyObject(IBehindDoors, service))

    def test_admitted(self) -> None:
        """The services that are named have sockets, and the locator always."""
        self.expose("locator", "a", "b")

        door = self.open("a", "later")

        self.assertEqual(self.inside(), ["a", "locator"])
        self.assertEqual([door.admits(name) for name in ("a", "b", "later")], [1, 0, 1])
        self.assertTrue(self.ask("a", "hi").startswith(b"\x94\x01\x00\x91\xa2hi"))

    def test_later(self) -> None:
        """What comes later comes in, and goes with its service."""
        self.open("a")
        self.expose("locator", "a", "b")
        self.assertEqual(self.inside(), ["a", "locator"])

        self.successResultOf(self.directory.remove("a"))
        self.assertEqual(self.inside(), ["locator"])

        self.expose("a")
        self.assertEqual(self.inside(), ["a", "locator"])

    def test_connections_live_on(self) -> None:
        """Connections outlive their service, and end with the door."""
        door = self.open("a")
        self.expose("a")
        protocol, transport = self.connect("a")
        self.successResultOf(self.directory.remove("a"))
        protocol.dataReceived(pack([1, 0, ["hi"]]))
        self.assertIn(b"hi", transport.value())

        self.successResultOf(door.close())

        self.assertTrue(transport.disconnecting)

    def hold(self, name: str) -> Deferred[None]:
        """Let the socket of a service take its time to close, as real ones do."""
        held: Deferred[None] = Deferred()
        self.reactor.unix[os.path.join(self.path, name)].held = held
        return held

    def test_back_at_once(self) -> None:
        """A service that comes back before its socket is closed has one again."""
        self.expose("echo")
        self.open("echo")
        held = self.hold("echo")
        gone = self.directory.remove("echo")
        self.expose("echo")

        held.callback(None)
        self.successResultOf(gone)

        self.assertEqual(self.inside(), ["echo"])
        self.assertIn(b"text", self.ask("echo", "text"))

    def test_back_and_gone(self) -> None:
        """One that goes again meanwhile has none."""
        self.expose("echo")
        self.open("echo")
        held = self.hold("echo")
        self.directory.remove("echo")
        self.expose("echo")
        gone = self.directory.remove("echo")

        held.callback(None)
        self.successResultOf(gone)

        self.assertEqual(self.inside(), [])

    def test_back_when_closed(self) -> None:
        """A door that is closed meanwhile does not open again."""
        self.expose("echo")
        door = self.open("echo")
        held = self.hold("echo")
        self.directory.remove("echo")
        self.expose("echo")
        self.successResultOf(door.close())

        held.callback(None)

        self.assertNotIn("echo", os.listdir(self.place))
        self.assertFalse(os.path.exists(os.path.join(self.path, "echo")))

    def test_several_doors(self) -> None:
        """All doors let go of a service at once, however long the first takes."""
        self.expose("echo")
        self.open("echo")
        held = self.hold("echo")
        other = Door(
            self.directory._wiring, os.path.join(self.place, "y"), ["echo"], True
        )
        self.directory._open(other)

        self.directory.remove("echo")

        self.assertEqual(os.listdir(other.path), [])
        held.callback(None)

    def test_offer(self) -> None:
        """Where a service is, is said as the clients see it."""
        self.expose("a", "b")
        door = self.open("a", inside="/run/cocaine/services")

        self.assertEqual(
            door.offer("a"),
            ([("/run/cocaine/services/a", 0)], 5, EchoService.protocol.graph),
        )
        self.assertIsNone(door.offer("b"))
        self.assertEqual(door.locator, "/run/cocaine/services/locator:0")

    def test_views(self) -> None:
        """A service may have something of its own for those who come so."""
        self.service = DoorService(cast(Any, None), "a", NoArgs())
        self.expose("a")
        self.open("a")
        self.assertIn(b"walled", self.ask("a"))

        self.path = os.path.join(self.place, "common")
        self.directory.open_common_door(self.path)

        self.assertIn(b"open", self.ask("a"))

    def test_withdrawn(self) -> None:
        """While the node drains, those behind walls still find what they need."""
        self.expose("a")
        door = self.open("a")

        self.directory.withdraw()

        self.assertEqual(self.inside(), ["a"])
        self.assertIsNotNone(door.offer("a"))

    def test_refused(self) -> None:
        """In the last moments of the node calls are refused here as elsewhere."""
        self.expose("locator", "a")
        self.open("a")

        self.directory.refuse(StorageError(errno.EPIPE, "go away"), keep=("locator",))

        self.assertIn(b"go away", self.ask("a", "hi"))
        self.assertNotIn(b"go away", self.ask("locator", "hi"))

    def test_owed(self) -> None:
        """Calls through doors are waited for, too."""
        answers: list[Deferred[bytes]] = []

        def wait() -> Deferred[bytes]:
            answers.append(Deferred())
            return answers[-1]

        service = DoorService(cast(Any, None), "a", NoArgs())
        self.service = View(service, ask=wait)
        self.expose("a")
        self.open("a")
        protocol, _ = self.connect("a")
        protocol.dataReceived(pack([1, 0, []]))
        self.assertEqual(self.directory.owed, 1)
        self.successResultOf(self.directory.remove("a"))
        self.assertEqual(self.directory.owed, 1)

        answers[0].callback(b"")

        self.assertEqual(self.directory.owed, 0)


class FileTests(DoorCase):
    """The directory, its sockets, and who may use them."""

    def mode(self, *parts: str) -> int:
        return stat.S_IMODE(os.stat(os.path.join(self.path, *parts)).st_mode)

    def test_own_user(self) -> None:
        """By default it is the node's user who may connect."""
        self.expose("a")
        self.open("a")

        self.assertEqual((self.mode(), self.mode("a")), (0o700, 0o600))

    def test_group(self) -> None:
        """A group may be let in, whatever the mask is."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.expose("a")
        self.open("a", gid=os.getegid())

        self.assertEqual((self.mode(), self.mode("a")), (0o750, 0o660))
        self.assertEqual(os.stat(self.path).st_gid, os.getegid())

    def test_owner(self) -> None:
        """So may another user."""
        if os.geteuid():
            uid = os.geteuid()
        else:
            uid = 12345
        self.expose("a")
        self.open("a", uid=uid)

        for path in (self.path, os.path.join(self.path, "a")):
            self.assertEqual(os.stat(path).st_uid, uid)

    def test_closed(self) -> None:
        """The end takes sockets and directory away; twice does no harm."""
        self.expose("a")
        door = self.open("a")

        self.successResultOf(door.close())
        self.successResultOf(door.close())
        self.expose("b")

        self.assertEqual(os.listdir(self.place), [])

    def test_directory_closes(self) -> None:
        """With the services of the node all doors are closed."""
        self.expose("a")
        self.open("a")

        self.successResultOf(Deferred.fromCoroutine(self.directory.close()))

        self.assertEqual(os.listdir(self.place), [])

    def test_leftovers(self) -> None:
        """What a dead node has left there is replaced; what is no socket stays."""
        os.mkdir(self.path)
        for name in ("a", "old"):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(os.path.join(self.path, name))
        with open(os.path.join(self.path, "note"), "w"):
            pass
        self.expose("a")

        self.open("a")

        self.assertEqual(self.inside(), ["a", "note"])

    def test_in_use(self) -> None:
        """An app that starts while its last workers end has a door of its own."""
        first = self.open("a")
        second = self.open("a")

        self.assertEqual(first.path, self.path)
        self.assertTrue(second.path.startswith(f"{self.path}."), second.path)
        self.successResultOf(first.close())
        self.assertEqual(self.open("a").path, self.path)

    def test_cannot_be_made(self) -> None:
        """A directory that cannot be made is named, with the remedy."""
        with open(self.path, "w"):
            pass

        error = self.assertRaises(DoorError, self.open, "a")

        self.assertEqual(error.code, errno.EEXIST)
        self.assertIn(self.path, str(error))

    def test_long_path(self) -> None:
        """A name too long for a socket is refused before anything is made."""
        name = "n" * PATH_LIMIT

        error = self.assertRaises(DoorError, self.open, "a", name)

        self.assertEqual(error.code, errno.ENAMETOOLONG)
        self.assertIn(f"longer than {PATH_LIMIT} bytes", str(error))
        self.assertIn("paths.runtime", str(error))
        self.assertEqual(os.listdir(self.place), [])

    def test_long_path_inside(self) -> None:
        """So is one that is too long where the workers see it."""
        inside = "/" + "i" * PATH_LIMIT

        self.assertRaises(DoorError, self.open, "a", inside=inside)

    def test_odd_names(self) -> None:
        """Names that are no file's are refused; odd bytes are not."""
        for name in ("", ".", "..", "a/b", "/etc/passwd", "a\0b"):
            error = self.assertRaises(DoorError, self.open, name)
            self.assertIn("cannot have a UNIX socket", str(error))
        odd = "\u2603 \n*"
        self.expose(odd)

        door = self.open(odd)

        self.assertEqual(self.inside(), [odd])
        self.assertIsNotNone(door.offer(odd))


class CommonDoorTests(DoorCase):
    """The door for people and programs of the machine."""

    def common(self) -> Door:
        door = self.directory.open_common_door(self.path)
        assert isinstance(door, Door)
        return door

    def test_everything(self) -> None:
        """All services are there, those that come later, too."""
        self.expose("locator", "a")
        self.common()
        self.expose("b")

        self.assertEqual(self.inside(), ["a", "b", "locator"])

    def test_made(self) -> None:
        """It is made for the node's user alone, and removed at the end."""
        self.expose("a")
        door = self.common()

        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o700)
        mode = stat.S_IMODE(os.stat(os.path.join(self.path, "a")).st_mode)
        self.assertEqual(mode, 0o666)
        self.successResultOf(door.close())
        self.assertEqual(os.listdir(self.place), [])

    def test_there_already(self) -> None:
        """A directory that is there keeps its mode, and all that is others'."""
        os.mkdir(self.path)
        os.chmod(self.path, 0o755)
        with socket.socket(socket.AF_UNIX) as others:
            others.bind(os.path.join(self.path, "others"))
        self.expose("a")

        door = self.common()

        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o755)
        self.successResultOf(door.close())
        self.assertEqual(self.inside(), ["others"])

    def refused(self, name: str) -> str:
        """Expose a service that has no socket; it can be reached elsewhere."""
        events = self.record_log()
        self.expose(name)
        self.assertEqual(len(self.directory.endpoints(name)), 1)
        (warning,) = [e for e in events if e["log_level"].name == "warn"]
        return formatEvent(warning) or ""

    def test_another_node(self) -> None:
        """A socket at which somebody listens is left alone, and the log says so."""
        os.mkdir(self.path)
        path = os.path.join(self.path, "a")
        self.common()
        with socket.socket(socket.AF_UNIX) as others:
            others.bind(path)
            others.listen()

            said = self.refused("a")

            self.assertIn("somebody listens", said)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)

    def test_no_socket(self) -> None:
        """So is what is no socket."""
        os.mkdir(self.path)
        with open(os.path.join(self.path, "a"), "w"):
            pass
        self.common()

        self.assertIn("no socket; move it away", self.refused("a"))

    def test_long_name(self) -> None:
        """A service with too long a name is offered elsewhere alone."""
        self.common()

        self.assertIn("paths.runtime", self.refused("n" * 100))


class AccessTests(LogCase):
    """Modes of sockets."""

    def test_modes(self) -> None:
        """A socket is its owner's, its group's, or of all who can enter."""
        accesses: Collection[tuple[Access, int]] = [
            (Access(), 0o600),
            (Access(uid=7), 0o600),
            (Access(gid=7), 0o660),
            (Access(shared=True), 0o666),
        ]
        for access, mode in accesses:
            self.assertEqual(access.socket_mode, mode, access)


class ErrorTests(LogCase):
    """What a caller catches."""

    def test_tree(self) -> None:
        """It is one of ours, with the code of the system."""
        error = DoorError("x", errno.ENOSPC)

        self.assertIsInstance(error, CocainedError)
        self.assertEqual(error.code, errno.ENOSPC)
