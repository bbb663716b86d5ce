# -*- test-case-name: cocained.test.test_door -*-
"""
Services through UNIX sockets, for those who have no network.

A *door* is a directory with one socket for each service that may be reached there.
The node has at most one for people and programs of its machine, with everything;
each app whose workers are behind walls has one of its own, with what its profile
allows::

    RUNTIME/APP.PID.door/locator       answers with paths in place of addresses
                         storage

What is mounted is the directory, so that sockets may come and go in it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from zope.interface import implementer

from cocained.errors import CocainedError, DoorError
from cocained.interfaces import IBehindDoors, IDoor
from cocained.rpc.dispatch import Dispatch, Protocol
from cocained.rpc.wire import ServiceFactory, Wiring

log = Logger()

#: Linux takes no longer path for a UNIX socket (sun_path holds 108 bytes).
PATH_LIMIT = 107

#: The service through which all others are found.
LOCATOR = "locator"


class Opening(NamedTuple):
    """One service that can be reached."""

    protocol: Protocol
    factory: ServiceFactory
    dispatch: Dispatch
    port: IListeningPort
    path: str


class Access(NamedTuple):
    """
    Who may connect.

    :param uid: owner of directory and sockets, -1 for the node's own user.
    :param gid: group that may connect, too, -1 for none.
    :param shared: whether the directory's mode alone decides, so that everybody
        may connect who can enter it.
    """

    uid: int = -1
    gid: int = -1
    shared: bool = False

    @property
    def socket_mode(self) -> int:
        """Who may write to a socket is who may connect."""
        if self.shared:
            return 0o666
        return 0o600 if self.gid < 0 else 0o660


@implementer(IDoor)
class Door:
    """
    One directory of sockets.

    :param wiring: of the node's connections.
    :param path: the directory.
    :param names: services that may be reached, ``None`` for all; the locator
        always can.
    :param walled: whether workers behind walls come through it.
    :param inside: how clients see the directory, if otherwise.
    :param access: who may connect.
    """

    def __init__(
        self,
        wiring: Wiring,
        path: str,
        names: Collection[str] | None,
        walled: bool,
        inside: str | None = None,
        access: Access | None = None,
    ) -> None:
        self.path = path
        self._inside = path if inside is None else inside
        self.locator = f"{os.path.join(self._inside, LOCATOR)}:0"
        self._wiring = wiring
        self._names = names
        self._walled = walled
        self._access = Access() if access is None else access
        self._openings: dict[str, Opening] = {}
        #: of services that have gone; their connections live on
        self._former: list[ServiceFactory] = []
        #: services whose former socket is still being closed, which takes a turn:
        #: what is to listen there next, if anything is
        self._next: dict[str, Any] = {}
        self._made = False
        #: whether :meth:`close` was called
        self.is_closed = False

    def open(self) -> None:
        """
        Make the directory, and see that sockets can be in it.

        :raises DoorError: it cannot be made, or its path is too long.
        """
        for name in sorted({LOCATOR, *(self._names or ())}):
            self._check(name)
        access = self._access
        try:
            self._made = not os.path.isdir(self.path)
            if self._made or not access.shared:
                os.makedirs(self.path, 0o700, exist_ok=True)
                os.chown(self.path, access.uid, access.gid)
                # Not by the mask: who may connect must be able to enter.
                os.chmod(self.path, 0o700 if access.gid < 0 else 0o750)
            if not access.shared:
                self._sweep()
        except OSError as error:
            raise DoorError(
                f"cannot make the directory of sockets {self.path}:"
                f" {error.strerror}; let the node's user do so",
                error.errno or errno.EIO,
            ) from error

    def _sweep(self) -> None:
        """Remove the sockets that a dead node has left, which had our number."""
        for entry in os.scandir(self.path):
            if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                os.unlink(entry.path)

    def _check(self, name: str) -> str:
        """
        Give the path of a service's socket.

        :raises DoorError: it can have none.
        """
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise DoorError(f"a service called {name!r} cannot have a UNIX socket")
        path = os.path.join(self.path, name)
        for each in (path, os.path.join(self._inside, name)):
            if len(os.fsencode(each)) > PATH_LIMIT:
                raise DoorError(
                    f"the path of a UNIX socket is longer than {PATH_LIMIT} bytes:"
                    f" {each}; set a shorter paths.runtime, or use shorter names",
                    errno.ENAMETOOLONG,
                )
        return path

    # IDoor

    def admits(self, name: str) -> bool:
        return self._names is None or name == LOCATOR or name in self._names

    def offer(
        self, name: str
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        opening = self._openings.get(name)
        if opening is None:
            return None
        protocol = opening.protocol
        path = os.path.join(self._inside, name)
        return [(path, 0)], protocol.version, protocol.graph

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        for name in list(self._openings):
            await self.remove(name)
        former, self._former = self._former, []
        for factory in former:
            factory.close()
        if self._made or not self._access.shared:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)

    # For the directory of services

    def add(self, name: str, service: Any) -> None:
        """Let a service be reached here, if it may be and can be."""
        if self.is_closed or not self.admits(name):
            return
        if name in self._next:
            self._next[name] = service
            return
        try:
            self._openings[name] = self._listen(name, service)
        except CocainedError as error:
            # It can be reached elsewhere, and others here.
            log.warn(
                "service {service} cannot be reached through {path}: {error}",
                service=name,
                path=self.path,
                error=error,
            )

    def _listen(self, name: str, service: Any) -> Opening:
        path = self._check(name)
        seen = service
        if IBehindDoors.providedBy(service):
            seen = service.seen_from(self, self._walled)
        dispatch = Dispatch(seen)
        factory = ServiceFactory(self._wiring, dispatch, name)
        access = self._access
        try:
            _make_room(path)
            port = self._wiring.reactor.listenUNIX(
                path, factory, backlog=1024, mode=0o600
            )
            os.chown(path, access.uid, access.gid)
            os.chmod(path, access.socket_mode)
        except (OSError, CannotListenError) as error:
            raise DoorError(f"cannot listen at {path}: {error}") from error
        return Opening(service.protocol, factory, dispatch, port, path)

    async def remove(self, name: str) -> None:
        """Accept no more connections for a service; those that there are live on."""
        if name in self._next:
            self._next[name] = None
        opening = self._openings.pop(name, None)
        if opening is not None:
            self._former = [each for each in self._former if each.connections]
            self._former.append(opening.factory)
            self._next[name] = None
            await maybeDeferred(opening.port.stopListening)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(opening.path)
            service = self._next.pop(name)
            if service is not None:
                self.add(name, service)

    def refuse(self, error: CocainedError, keep: Container[str] = ()) -> None:
        """Answer every new call with an error; see the directory's."""
        for name, opening in self._openings.items():
            if name not in keep:
                opening.dispatch.refuse(error)

    @property
    def owed(self) -> int:
        """Calls that were made here and wait for their answers."""
        factories = [opening.factory for opening in self._openings.values()]
        return sum(factory.owed for factory in (*factories, *self._former))


def _make_room(path: str) -> None:
    """
    Remove the socket of a dead node.

    :raises DoorError: something else is there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise DoorError(f"{path} is there, and no socket; move it away", errno.EEXIST)
    with socket.socket(socket.AF_UNIX) as probe:
        # One that nobody listens at refuses at once; one that is full does not.
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code != errno.ECONNREFUSED:
        raise DoorError(
            f"somebody listens at {path}; is another node running there?",
            errno.EADDRINUSE,
        )
    os.unlink(path)
