# -*- test-case-name: cocained.test.test_services_neighbourhood -*-
"""
A locator and the nodes around it: who finds them, what is told and what is heard.

::

    cluster ──link, drop──▶ links ──▶ gateway ◀── offers ──▶ announcements

Without a gateway nobody is listened to, without a cluster nobody is told
anything; a node alone has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.config import ComponentConfig
from cocained.interfaces import ICluster, IGateway, INode, IReporter
from cocained.links.announcements import Announcements
from cocained.links.dialer import RealDialer
from cocained.links.links import Links
from cocained.links.offers import Offers
from cocained.links.pace import Pace

log = Logger()


class Neighbourhood:
    """
    What a locator needs to be one of many.

    :param node: the node.
    :param name: of the locator.
    :param gateway: chooses among what others offer, if there is one.
    :param cluster: the plugin that finds others, if there is one.
    :param pace: of the links.
    :param extra: values that are sent along.
    :param restrict: services that others are not told of.
    :param refreshed: see :class:`~cocained.links.links.Links`.
    """

    def __init__(
        self,
        node: INode,
        name: str,
        gateway: IGateway | None,
        cluster: ComponentConfig | None,
        pace: Pace,
        extra: Mapping[str, Any],
        restrict: Collection[str],
        refreshed: Callable[[Sequence[str]], None],
    ) -> None:
        self._type = cluster.type if cluster is not None else ""
        self._cluster: ICluster | None = None
        self._started = False
        self._problem = ""
        self.links = Links(
            node.uuid,
            lambda: node.directory.endpoints(name),
            node.reactor,
            RealDialer(node.wiring, node.uuid, pace.handshake),
            gateway,
            pace,
            refreshed,
        )
        #: ``None`` if there is no cluster to tell anything
        self.announcements: Announcements | None = None
        if cluster is not None:
            self.announcements = Announcements(node.uuid, extra)
            self._cluster = node.component(
                "cluster", cluster.type, f"{name}:cluster", cluster.args
            )
            self._cluster.attach(self.links)
        self.offers = Offers(
            node.uuid, extra, gateway, self.announcements, {name, *restrict}
        )

    def begin(self) -> None:
        """
        Find others, who can reach this node's locator by now.

        :raises CocainedError: the plugin refuses to start.
        """
        if self._cluster is None or self._started:
            return
        self._started = True
        started = self._cluster.start()
        if started is not None:
            started.addErrback(self._not_started)

    def _not_started(self, failure: Failure) -> None:
        self._problem = (
            "no other nodes are looked for, since the cluster plugin did not start"
            f" ({failure.getErrorMessage()}); see the log, and start the node again"
        )
        log.failure("the cluster plugin did not start", failure=failure)

    def stop(self) -> Deferred[None]:
        """
        Let go of everybody.

        :returns: fires when nothing is left.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        # First, so that nobody is found while all are let go.
        started, self._started = self._started, False
        if started and self._cluster is not None:
            try:
                await maybeDeferred(self._cluster.stop)
            except Exception:
                log.failure("the cluster plugin did not stop in order")
        self.links.close()
        if self.announcements is not None:
            self.announcements.close()

    def report(self) -> Mapping[str, Any]:
        """Say who is there, and how, in plain values."""
        discovery: dict[str, Any] = {}
        if self._type:
            discovery["type"] = self._type
            cluster: Any = self._cluster
            if IReporter.providedBy(cluster):
                discovery.update(cluster.report())
        told = len(self.announcements) if self.announcements is not None else 0
        return {
            "discovery": discovery,
            "links": self.links.report(),
            "told": told,
            "problem": self._problem,
        }
