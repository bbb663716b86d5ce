# -*- test-case-name: cocained.test.test_unicorns_zookeeper -*-
"""
The unicorn ``zookeeper``: shared by all nodes that name the same servers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from kazoo.client import KazooClient
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.config import Invalid
from cocained.errors import InvalidPath
from cocained.interfaces import INode, IReporter, IUnicorn
from cocained.lane import STOP_TIMEOUT, Lane
from cocained.unicorns.base import KeeperUnicorn
from cocained.unicorns.ensemble import EnsembleKeeper
from cocained.unicorns.paths import check_prefix

log = Logger()

#: Seconds between attempts to connect grow up to this many.
RECONNECT_MAX = 2.0

#: How many times a session's timeout there may be no connection before the
#: session is given up: by then the servers have ended it, if they ran.
RENEWAL = 2

#: Most servers of one ensemble; all of them are tried in turn.
SERVER_LIMIT = 64

#: What kazoo has to say is for those who work on kazoo.
_SILENT = logging.getLogger("cocained.unicorns.kazoo")
_SILENT.setLevel(logging.CRITICAL + 1)


class Endpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One server."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = "localhost"
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 2181


class ZookeeperArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the unicorn type ``zookeeper``."""

    endpoints: Annotated[
        tuple[Endpoint, ...],
        msgspec.Meta(
            description="The servers, each with ``host`` and ``port``; all of one"
            " ensemble.",
            extra={"default": "``[{host: localhost, port: 2181}]``"},
        ),
    ] = (Endpoint(),)
    recv_timeout_ms: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            le=3_600_000,
            description="Milliseconds that an operation may take, connecting"
            " included; later it fails with ``[11, 10]``.",
        ),
    ] = 1000
    session_timeout_ms: Annotated[
        int,
        msgspec.Meta(
            ge=100,
            le=3_600_000,
            description="Milliseconds without a sign of life after which the servers"
            " end the session, with its ephemeral nodes and locks; they may have"
            " bounds of their own for it.",
        ),
    ] = 10_000
    prefix: Annotated[
        str,
        msgspec.Meta(
            description="Put in front of all paths, and not seen by clients; made if"
            " it is missing."
        ),
    ] = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.endpoints) <= SERVER_LIMIT:
            raise Invalid(("endpoints", f"must name 1 to {SERVER_LIMIT} servers"))
        try:
            check_prefix(self.prefix)
        except InvalidPath as error:
            raise Invalid(("prefix", error.reason)) from None


@implementer(IUnicorn, IReporter)
class ZookeeperUnicorn(KeeperUnicorn[ZookeeperArgs]):
    """One session with an ensemble, kept up for as long as the node runs."""

    Args = ZookeeperArgs

    def __init__(self, node: INode, name: str, args: ZookeeperArgs) -> None:
        super().__init__(node, name, args)
        self._lane = Lane(node.reactor, f"unicorn {name!r}")
        self._connected: bool | None = None
        self._since = node.reactor.seconds()
        self.keeper: EnsembleKeeper = EnsembleKeeper(
            node.reactor,
            name,
            self._make_client,
            check_prefix(args.prefix),
            args.recv_timeout_ms / 1000,
            RENEWAL * args.session_timeout_ms / 1000,
            self._cb_changed,
            self._dispose,
        )

    @property
    def _hosts(self) -> str:
        return ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in ((each.host, each.port) for each in self.args.endpoints)
        )

    def _make_client(self) -> Any:
        return KazooClient(
            self._hosts,
            timeout=self.args.session_timeout_ms / 1000,
            connection_retry={
                "max_tries": -1,
                "delay": 0.1,
                "max_delay": RECONNECT_MAX,
            },
            logger=_SILENT,
        )

    @override
    def start(self) -> None:
        """Begin to connect: a node can do without ZooKeeper for a while."""
        self._lane.start()
        self.keeper.start()

    @override
    def stop(self) -> Deferred[None]:
        """End the session: its ephemeral nodes and locks go at once."""
        client = self.keeper.close()
        if client is None:
            return self._lane.stop()
        stopped = self._dispose(client)
        stopped.addTimeout(STOP_TIMEOUT, self.node.reactor)
        # A server that does not answer ends the session by itself.
        stopped.addErrback(lambda failure: None)
        return stopped.addCallback(lambda ignored: self._lane.stop(0))

    def _dispose(self, client: Any) -> Deferred[None]:
        stopped = self._lane.run(_thd_stop, client)
        return stopped.addErrback(self._eb_not_stopped)

    def _eb_not_stopped(self, failure: Failure) -> None:
        log.debug(
            "unicorn {unicorn}: a client of ZooKeeper did not stop in order: {error}",
            unicorn=self.name,
            error=failure.getErrorMessage(),
        )

    def _cb_changed(self, connected: bool) -> None:
        if connected is self._connected:
            return
        self._connected = connected
        self._since = self.node.reactor.seconds()
        if connected:
            log.info(
                "unicorn {unicorn}: connected to ZooKeeper, session {session:#x}",
                unicorn=self.name,
                session=self.keeper.session(),
            )
        else:
            log.warn(
                "unicorn {unicorn}: the connection to ZooKeeper at {hosts} is lost;"
                " subscriptions and locks have ended",
                unicorn=self.name,
                hosts=self._hosts,
            )

    def report(self) -> Mapping[str, Any]:
        problem = ""
        if not self._connected:
            problem = (
                f"no connection to ZooKeeper at {self._hosts}; see that its servers run"
                " and can be reached"
            )
        return {
            "problem": problem,
            "since": self._since,
            "endpoints": self._hosts,
            "pending": self.keeper.pending,
        }


def _thd_stop(client: Any) -> None:
    """End the session and let all threads and sockets of kazoo go; blocks."""
    client.stop()
    client.close()
