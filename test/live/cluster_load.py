# -*- test-case-name: cocained.test.live.test_cluster_failover -*-
"""
Requests from one host to an app of a whole cluster, each of them in the ledger.

A client does as the published ones do: it asks a locator where the app is,
connects there, and asks anew, the next locator, when that connection breaks or
the app says that it stops.  No request is sent twice.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.ledger import Ledger
from cocained.test.live.load import Connection, Load
from cocained.test.live.support import CLOSE, ERROR, Client
from cocained.testing.lab import Host

#: Seconds that a locator, and then the app, may take to be reached.
REACH_TIMEOUT = 1.0

#: Seconds until one tries again when nobody was reached.
PAUSE = 0.05

#: The error of an app that is about to stop: it may be found elsewhere.
STOPPED = [12, 32]


class ClusterConnection(Connection):
    """
    One connection to one node.

    :ivar is_retired: whether it gets no more requests.
    """

    def __init__(self, load: ClusterLoad) -> None:
        self.is_retired = False
        self._cluster = load
        super().__init__(load)
        self.address = str(self.socket.getpeername()[0])

    @property
    def asked(self) -> int:
        """How many requests it has had."""
        return self._channel

    @override
    def _take(self, channel: int, kind: int, values: list[Any]) -> None:
        if kind == CLOSE and channel in self.open:
            self._cluster.replies[self.address] += 1
        if kind == ERROR and values[0] == STOPPED:
            self.is_retired = True
        super()._take(channel, kind, values)

    @override
    def lose(self) -> None:
        self._cluster.lost[self.address] += len(self.open)
        super().lose()


class ClusterLoad(Load):
    """
    Keeps a number of requests in flight, wherever the app is.

    :param host: where the clients are.
    :param locators: addresses of hosts; each client begins with another one.
    :param app: whose events are called.
    :param patience: seconds after which a request without an end is given up,
        with its connection.
    :param stint: requests of one connection, after which its client asks anew
        where the app is; 0 for no end.
    :param how: as for :class:`.Load`.
    :ivar replies: by the address that gave them.
    :ivar lost: requests that were in flight on a connection that broke, by its
        address.
    """

    def __init__(
        self,
        host: Host,
        locators: Sequence[str],
        app: str,
        ledger: Ledger,
        patience: float = 10.0,
        stint: int = 0,
        **how: Any,
    ) -> None:
        self._host = host
        self._locators = itertools.cycle(locators)
        self._tries = len(locators)
        self._app = app
        self._patience = patience
        self._stint = stint
        self._again = 0.0
        self.replies: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        super().__init__(0, ledger, **how)
        self._width = len(self.connections)

    @override
    def _make(self) -> Connection:
        return ClusterConnection(self)

    @override
    def dial(self) -> socket.socket:
        last: Exception = ConnectionError("there are no locators")
        for locator in itertools.islice(self._locators, self._tries):
            try:
                return self._dial(locator)
            except (OSError, RemoteError, AssertionError) as error:
                last = error
        raise ConnectionError(f"nobody was reached; the last one: {last}")

    def _dial(self, locator: str) -> socket.socket:
        with self._host.inside(), Client((locator, 10053), REACH_TIMEOUT) as client:
            endpoints, _version, _graph = client.call(0, self._app)
            address = (endpoints[0][0].decode(), endpoints[0][1])
            return socket.create_connection(address, REACH_TIMEOUT)

    @override
    def run(self, seconds: float, tick: Any = lambda: True) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and tick():
            self._replace()
            self._fill()
            self.turn()

    @override
    def _fill(self) -> None:
        for connection in self.connections:
            if not connection.is_retired:
                while len(connection.open) < self._depth:
                    connection.ask()
                connection.is_retired = 0 < self._stint <= connection.asked

    @override
    def turn(self) -> None:
        super().turn()
        now = time.monotonic()
        for connection in list(self.connections):
            token = next(iter(connection.open.values()), None)
            if token is None:
                if connection.is_retired:
                    self._drop(connection)
            elif now - self.ledger.entries[token].opened > self._patience:
                self._drop(connection)

    def _replace(self) -> None:
        """Have as many connections as there should be, if somebody is reached."""
        while len(self.connections) < self._width and time.monotonic() >= self._again:
            try:
                self.connections.append(self._connect())
            except ConnectionError:
                self._again = time.monotonic() + PAUSE

    def exposed(self, address: str) -> int:
        """
        Count the requests that may be lost with a node: all that its connections
        may have in flight until their clients see that they are gone.
        """
        return self._depth * sum(each.address == address for each in self.connections)

    def waits_for(self, address: str) -> bool:
        """Whether a request is in flight on a connection to an address."""
        return any(each.address == address and each.open for each in self.connections)
