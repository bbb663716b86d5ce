# -*- test-case-name: cocained.test.test_conventions -*-
"""
The node, as its plugins see it, and the reactor that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cocained.rpc.wire import Wiring

if TYPE_CHECKING:
    from cocained.interfaces.directory import IDirectory
    from cocained.interfaces.storages import IStorage
    from cocained.interfaces.unicorns import IUnicorn


class IReactor(
    IReactorCore,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
):
    """
    What the node needs of a reactor: sockets, its own and made elsewhere, time,
    threads for the storage, and readable descriptors for the output and the end
    of child processes.
    """


class INode(Interface):
    """What a plugin may use of the node that built it."""

    reactor: IReactor = Attribute("The reactor; the only source of time.")
    uuid: str = Attribute("Lower-case text, fresh for each start.")
    runtime: str = Attribute("Directory of worker sockets; absolute.")
    spool: str = Attribute("Directory under which app code is unpacked; absolute.")
    directory: IDirectory = Attribute("The services of this node.")
    wiring: Wiring = Attribute("What all connections of this node share.")
    patience: float = Attribute(
        "Seconds that workers have to end by themselves when the node stops."
    )

    def resolve(path: str) -> str:
        """Make a path of the configuration absolute: it starts at its file."""

    def storage(name: str) -> IStorage:
        """
        Give the storage configured as *name*.

        :raises cocained.errors.ConfigError: there is none.
        """

    def unicorn(name: str) -> IUnicorn:
        """
        Give the coordination backend configured as *name*.

        :raises cocained.errors.ConfigError: there is none.
        """

    def component(category: str, type: str, name: str, args: Any) -> Any:
        """
        Build a plugin, such as an isolate or a gateway.

        :param args: a mapping from a document; checked against the
            factory's ``Args``.
        :raises cocained.errors.PluginError: unknown or broken.
        :raises cocained.errors.ConfigError: the arguments do not fit.
        """

    def report() -> Mapping[str, Any]:
        """
        Say how the node is, for operators.

        :returns: ``uuid``, ``version``, ``uptime`` in seconds, ``state``
            (``serving``, ``draining`` or ``drained``), ``components`` (place in
            the configuration, such as ``services.node``, to the report of each
            that provides :class:`IReporter`), ``problems`` (sentences).
        """

    def progress() -> Mapping[str, Any]:
        """
        Say how far the drain of the node is.

        :returns: ``state``, as :meth:`report` has it; ``requests`` that run,
            ``apps`` that are on the node; ``seconds`` since the drain began, and
            ``settling``, those for which new requests are still served.
        """

    def drain(timeout: float | None = None) -> Deferred[None]:
        """
        Withdraw all services from clients and peers, then finish the requests.

        Asking again joins the drain that there is.

        :param timeout: seconds that requests have to finish, once no new ones
            are served; ``None`` is the configuration's ``shutdown.drain``.
        :returns: fires when no request is left.  Fails with
            :class:`cocained.errors.NotDrained` when they take longer, and the
            drain goes on, or when it is undone.  Cancelling it gives up the
            answer, not the drain.
        """

    def resume() -> Deferred[None]:
        """
        Undo a drain.

        :returns: fires when all services are announced again.
        """
