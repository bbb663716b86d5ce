# -*- test-case-name: cocained.test.test_conventions -*-
"""
The services of a node: where they are, who is told, and doors to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


if TYPE_CHECKING:
    from cocained.interfaces.services import IRemoteService


class IExposure(Interface):
    """One who wants to know which services this node offers."""

    def service_exposed(
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
    ) -> None:
        """A service is reachable from now on."""

    def service_removed(name: str) -> None:
        """A service is no longer reachable."""


class Withdrawn(NamedTuple):
    """
    Where a service listens that is announced to nobody any more.

    :param own: whether it is one of the configuration, such as ``node``, and no app:
        those of other nodes are no substitute for it.
    """

    endpoints: Sequence[tuple[str, int]]
    version: int
    graph: Mapping[int, Any]
    own: bool


class IDirectory(Interface):
    """The services that this node offers, each on a port of its own."""

    def expose(
        name: str, service: IRemoteService, announce: bool = True
    ) -> Deferred[None]:
        """
        Listen for *service* and announce it.

        :param announce: whether observers are told; one that is not announced
            is only found by those who ask for its endpoints here.
        :returns: fires when the port is bound.
        :raises: the Deferred fails with ``CocainedError`` if the name is
            taken or no port can be bound.
        """

    def remove(name: str) -> Deferred[None]:
        """
        Stop to announce *name* and to accept connections for it.

        Connections that exist live on; an unknown name is no error.

        :returns: fires when the port is closed.
        """

    def subscribe(observer: IExposure) -> None:
        """Tell *observer* of every service there is and of each change."""

    def unsubscribe(observer: IExposure) -> None:
        """Tell *observer* nothing more."""

    def endpoints(name: str) -> Sequence[tuple[str, int]]:
        """Numeric addresses of an exposed service, empty if there is none."""

    def open_door(
        path: str,
        services: Iterable[str],
        inside: str | None = None,
        uid: int = -1,
        gid: int = -1,
    ) -> IDoor:
        """
        Let workers reach services through UNIX sockets, for want of a network.

        :param path: a directory to make; what a dead node has left there is
            replaced, and one that is in use gets a number behind it.  Short: a
            socket's path has at most 107 bytes.
        :param services: names of those that may be reached; the locator always
            can.  What comes later under these names can be, too.
        :param inside: how the workers see *path*, if otherwise.
        :param uid: owner of the sockets, -1 for the node's own user.
        :param gid: group that may use them, too; -1 for none.
        :raises cocained.errors.DoorError: it cannot be opened; says what to do.
        """

    def withdrawn(name: str) -> Withdrawn | None:
        """
        Say where a service listens that is announced to nobody any more.

        While the node drains, observers have been told that all services are
        gone, so that clients go elsewhere.  Whoever finds none elsewhere, such
        as a worker of this node, may still come here.

        :returns: ``None`` for a service that is announced, or that there is not.
        """

    has_shared: bool = Attribute(
        "Whether there is a range of ports, ``network.shared``, to reserve from."
    )

    def reserve(name: str) -> Sequence[tuple[str, int]]:
        """
        Keep a port of this node for what is no service of it.

        Nobody listens there, nothing is announced, and no one else gets it.

        :param name: for ``network.pinned``, and to give the port back.
        :returns: the port, at each address that the node announces.
        :raises cocained.errors.CocainedError: the name has one already, or
            there is none to be had.
        """

    def release(name: str) -> None:
        """Give a reserved port back; an unknown name is no error."""


class IDoor(Interface):
    """A directory with a UNIX socket for each service that may be reached there."""

    path: str = Attribute("The directory; absolute.")
    locator: str = Attribute(
        "What ``--locator`` says to those who are to come through this door, as they"
        " see it: ``PATH:0``, which those who know no such address take for an odd"
        " host."
    )

    def offer(
        name: str,
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        """
        Say where a service of this node is, for those who come through this door.

        :returns: endpoints, version and graph; the only endpoint is the path of the
            socket as they see it, and 0, where others have a port.  ``None`` if it
            cannot be reached here.
        """

    def admits(name: str) -> bool:
        """Whether a service of that name may be reached here, if there is one."""

    def close() -> Deferred[None]:
        """
        End all connections and remove the directory.

        :returns: fires when nothing is left; calling it again does no harm.
        """


class IBehindDoors(Interface):
    """What a service provides besides of which doors have something of their own."""

    def seen_from(door: IDoor, walled: bool) -> Any:
        """
        Give what is called through a door.

        :param walled: whether those who come are workers behind walls, which may be
            hostile: they must not gain anything over the node by it.
        :returns: has the ``protocol`` of this service and the methods that it
            declares, such as a :class:`cocained.rpc.view.View`.
        """
