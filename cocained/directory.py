# -*- test-case-name: cocained.test.test_directory -*-
"""
The services of this node: on which ports they listen, and who is told.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import (
    Deferred,
    fail,
    gatherResults,
    maybeDeferred,
    succeed,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from zope.interface import implementer

from cocained.door import Access, Door
from cocained.errors import CocainedError, StorageError
from cocained.interfaces import (
    IDirectory,
    IDoor,
    IExposure,
    IRemoteService,
    Withdrawn,
)
from cocained.ports import Ports
from cocained.reservation import Reservation
from cocained.rpc.dispatch import Dispatch
from cocained.rpc.graph import Root
from cocained.rpc.wire import ServiceFactory, Wiring

log = Logger()

#: Tells doors apart that cannot have the plain path; no number comes twice.
_successors = itertools.count(2)


class Exposed(NamedTuple):
    """One service that can be reached."""

    endpoints: tuple[tuple[str, int], ...]
    version: int
    graph: Root
    factory: ServiceFactory
    dispatch: Dispatch
    service: IRemoteService
    port: IListeningPort
    number: int
    announced: bool


@implementer(IDirectory)
class Directory:
    """
    All services of a node.

    :param wiring: of the node's connections.
    :param interface: numeric address to listen at; ``::`` and ``0.0.0.0`` are
        all addresses.
    :param addresses: what is said of a service that listens at all addresses.
    :param ports: where to listen.
    :param reserve: keeps a port at which nobody listens, see
        :class:`cocained.reservation.Reservation`.
    """

    def __init__(
        self,
        wiring: Wiring,
        interface: str,
        addresses: Sequence[str],
        ports: Ports,
        reserve: Callable[[str, int], Reservation] = Reservation,
    ) -> None:
        self._wiring = wiring
        self._interface = interface
        self._addresses = tuple(addresses)
        self._ports = ports
        self._reserve = reserve
        self._exposed: dict[str, Exposed] = {}
        self._reserved: dict[str, Reservation] = {}
        #: of removed services; their connections live on
        self._former: list[ServiceFactory] = []
        self._observers: list[IExposure] = []
        self._announcing = True
        self._own: Container[str] = ()
        self._doors: list[Door] = []
        #: services that are still here, but whose ports are closed
        self._deaf: set[str] = set()

    @property
    def has_shared(self) -> bool:
        return self._ports.limited

    def get(self, name: str) -> Exposed | None:
        """Find a service that can be reached."""
        return self._exposed.get(name)

    def endpoints(self, name: str) -> Sequence[tuple[str, int]]:
        exposed = self._exposed.get(name)
        return exposed.endpoints if exposed is not None else ()

    def withdrawn(self, name: str) -> Withdrawn | None:
        exposed = self._exposed.get(name)
        if self._announcing or exposed is None or name in self._deaf:
            return None
        if not exposed.announced:
            return None
        own = name in self._own
        return Withdrawn(exposed.endpoints, exposed.version, exposed.graph, own)

    def expose(
        self, name: str, service: IRemoteService, announce: bool = True
    ) -> Deferred[None]:
        try:
            self._expose(name, service, announce)
        except CocainedError:
            return fail()
        return succeed(None)

    def _expose(self, name: str, service: IRemoteService, announce: bool) -> None:
        if name in self._exposed:
            raise CocainedError(f"a service {name!r} exists already")
        dispatch = Dispatch(service)
        factory = ServiceFactory(self._wiring, dispatch, name)
        port, number = self._listen(name, factory)
        exposed = Exposed(
            tuple((address, number) for address in self._addresses),
            service.protocol.version,
            service.protocol.graph,
            factory,
            dispatch,
            service,
            port,
            number,
            announce,
        )
        self._exposed[name] = exposed
        log.info(
            "service {service} listens at {addresses}",
            service=name,
            addresses=" ".join(_address(*endpoint) for endpoint in exposed.endpoints),
        )
        for door in self._doors:
            door.add(name, service)
        self._announce(name, exposed)

    def _announce(self, name: str, exposed: Exposed) -> None:
        if self._announcing and exposed.announced:
            for observer in list(self._observers):
                observer.service_exposed(
                    name, exposed.endpoints, exposed.version, exposed.graph
                )

    def _unannounce(self, name: str, exposed: Exposed) -> None:
        if self._announcing and exposed.announced:
            for observer in list(self._observers):
                observer.service_removed(name)

    def _listen(self, name: str, factory: ServiceFactory) -> tuple[IListeningPort, int]:
        refused: CannotListenError | None = None
        for number in self._ports.candidates(name):
            try:
                port = self._wiring.reactor.listenTCP(
                    number, factory, backlog=1024, interface=self._interface
                )
            except CannotListenError as error:
                refused = error
            else:
                self._ports.take(number)
                host = port.getHost()
                assert isinstance(host, IPv4Address | IPv6Address)
                return port, host.port
        assert refused is not None
        code = getattr(refused.socketError, "errno", None) or errno.EADDRINUSE
        raise _not_to_be_had(name, self._interface, refused.port, code) from refused

    def reserve(self, name: str) -> Sequence[tuple[str, int]]:
        if name in self._reserved:
            raise CocainedError(f"a port is reserved as {name!r} already")
        refused: OSError | None = None
        for number in self._ports.candidates(name):
            try:
                reservation = self._reserve(self._interface, number)
            except OSError as error:
                refused = error
                continue
            self._ports.take(number)
            self._reserved[name] = reservation
            return [(address, reservation.number) for address in self._addresses]
        assert refused is not None
        code = refused.errno or errno.EADDRINUSE
        raise _not_to_be_had(name, self._interface, number, code) from refused

    def release(self, name: str) -> None:
        reservation = self._reserved.pop(name, None)
        if reservation is not None:
            reservation.release()
            self._ports.release(reservation.number)

    def remove(self, name: str) -> Deferred[None]:
        exposed = self._exposed.pop(name, None)
        if exposed is None:
            return succeed(None)
        self._ports.release(exposed.number)
        self._deaf.discard(name)
        self._former = [factory for factory in self._former if factory.connections]
        self._former.append(exposed.factory)
        self._unannounce(name, exposed)
        log.info("service {service} is no longer offered", service=name)
        return Deferred.fromCoroutine(self._remove(name, exposed))

    async def _remove(self, name: str, exposed: Exposed) -> None:
        # All at once: a service of that name may come while they are at it.
        ends: list[Deferred[Any]] = [
            Deferred.fromCoroutine(door.remove(name)) for door in self._doors
        ]
        ends.append(maybeDeferred(exposed.port.stopListening))
        await gatherResults(ends)

    # Doors

    def open_door(
        self,
        path: str,
        services: Iterable[str],
        inside: str | None = None,
        uid: int = -1,
        gid: int = -1,
    ) -> IDoor:
        names = frozenset(services)
        if any(door.path == path for door in self._open_doors()):
            # Workers of an app's last run are still ending behind it.
            path = f"{path}.{next(_successors)}"
        return self._open(
            Door(self._wiring, path, names, True, inside, Access(uid, gid))
        )

    def open_common_door(self, path: str) -> IDoor:
        """
        Let people and programs of this machine reach all services by UNIX sockets.

        :param path: a directory, whose mode says who may; made for the node's user
            alone if it is missing.
        :raises DoorError: it cannot be made.
        """
        access = Access(shared=True)
        return self._open(Door(self._wiring, path, None, False, access=access))

    def _open_doors(self) -> list[Door]:
        return [door for door in self._doors if not door.is_closed]

    def _open(self, door: Door) -> Door:
        door.open()
        self._doors = [*self._open_doors(), door]
        for name, exposed in self._exposed.items():
            door.add(name, exposed.service)
        return door

    # The end, and what may come before it

    def withdraw(self, own: Container[str] = ()) -> None:
        """
        Tell all observers that every service is gone, and of none that comes.

        Ports stay open: who has heard of a service a moment ago still comes.

        :param own: services of the configuration.
        """
        self._own = own
        for name, exposed in list(self._exposed.items()):
            self._unannounce(name, exposed)
        self._announcing = False

    def restore(self) -> None:
        """Undo :meth:`withdraw`."""
        if not self._announcing:
            self._announcing = True
            for name, exposed in list(self._exposed.items()):
                self._announce(name, exposed)

    async def quiesce(self, keep: Container[str] = ()) -> None:
        """
        Accept no more connections; those that there are live on.

        :param keep: services that still do.
        """
        for name, exposed in list(self._exposed.items()):
            if name not in keep:
                self._deaf.add(name)
                await (exposed.port.stopListening() or succeed(None))

    def refuse(self, error: CocainedError, keep: Container[str] = ()) -> None:
        """
        Answer every new call with an error; what runs goes on.

        :param error: what callers are told.
        :param keep: services that go on as they were.
        """
        for name, exposed in self._exposed.items():
            if name not in keep:
                exposed.dispatch.refuse(error)
        for door in self._doors:
            door.refuse(error, keep)

    @property
    def owed(self) -> int:
        """Calls that were made and wait for their answers."""
        factories = [exposed.factory for exposed in self._exposed.values()]
        inside = sum(door.owed for door in self._doors)
        return inside + sum(factory.owed for factory in (*factories, *self._former))

    async def close(self) -> None:
        """Remove every service and end all connections there are."""
        for name in list(self._exposed):
            await self.remove(name)
        doors, self._doors = self._doors, []
        for door in doors:
            await door.close()
        for name in list(self._reserved):
            self.release(name)
        former, self._former = self._former, []
        for factory in former:
            factory.close()

    def subscribe(self, observer: IExposure) -> None:
        self._observers.append(observer)
        if not self._announcing:
            return
        # Who is told of one may offer another because of it.
        for name, exposed in list(self._exposed.items()):
            if exposed.announced:
                observer.service_exposed(
                    name, exposed.endpoints, exposed.version, exposed.graph
                )

    def unsubscribe(self, observer: IExposure) -> None:
        if observer in self._observers:
            self._observers.remove(observer)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _not_to_be_had(name: str, interface: str, port: int, code: int) -> StorageError:
    return StorageError(
        code,
        f"service {name!r} cannot listen at {interface} port {port}:"
        f" {os.strerror(code)}; is another node running, or the port in use? see"
        " network.pinned",
    )
