# -*- test-case-name: cocained.test.test_conventions -*-
"""
Services that are called over the wire.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cocained.rpc.dispatch import Protocol
from cocained.interfaces.plugins import IComponent


class IRemoteService(IComponent):
    """
    A service that can be called over the wire.

    Never Twisted's ``IService``.  Its methods are declared with
    :func:`cocained.rpc.dispatch.method`.
    """

    protocol: Protocol = Attribute("Version, graph and slots of the service.")

    def drain() -> Deferred[None] | None:
        """
        Finish what has been accepted and accept no more; called before
        :meth:`stop` when the node stops in order, or when it drains.

        :returns: nothing, or a Deferred that fires when nothing is left.
            Cancelling it gives up the wait.
        """


class IResumable(Interface):
    """What a service provides besides that its drain makes refuse something."""

    def resume() -> Deferred[None] | None:
        """
        Accept again what :meth:`IRemoteService.drain` made it refuse.

        :returns: nothing, or a Deferred that fires when it does.
        """
