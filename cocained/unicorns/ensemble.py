# -*- test-case-name: cocained.test.test_unicorns_ensemble -*-
"""
A keeper in ZooKeeper, through kazoo.

::

    reactor    operation ──▶ client ─┐              ┌─▶ answer
               state, watch ◀────────┼──────────────┤   callFromThread
    kazoo's    connection, callbacks ┴──▶ _thd_… ───┘

A connection that breaks ends all watches, and whatever hangs on them
(plugins.md §4.1: "any session trouble").  The session itself is resumed if
ZooKeeper still has it: an announcement should not vanish with every switch of
servers.  What is left of locks is then removed first of all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kazoo.protocol.states import KazooState
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from cocained.errors import ConnectionLoss, UnicornBusy
from cocained.interfaces import IReactor
from cocained.unicorns.keeper import Stat, Watch
from cocained.unicorns.leavings import Leavings
from cocained.unicorns.requests import Request, translated
from cocained.unicorns.watches import Armed, WatchTable, take_back

log = Logger()

#: Operations that may wait at once, for their answers or for a connection.
PENDING_LIMIT = 4096

#: Makes a client of kazoo, not started.
ClientFactory = Callable[[], Any]


class EnsembleKeeper:
    """
    A :class:`~cocained.unicorns.keeper.Keeper` of one session at a time.

    :param reactor: everything but ``_thd_…`` belongs to its thread.
    :param name: of the unicorn, for the log.
    :param factory: makes the client.
    :param prefix: in front of all paths; the empty string or a path.
    :param patience: seconds for each operation, from when it is asked.
    :param lifetime: seconds without a connection after which the session is given
        up and a fresh client begins: it has seen nothing that a server without its
        data would refuse, see below.
    :param changed: called when the connection comes or goes.
    :param dispose: takes a client that is to be stopped in a thread.
    """

    # A server that has lost its data refuses whoever has seen later changes than
    # it has, for ever; kazoo tries for ever, too.

    def __init__(
        self,
        reactor: IReactor,
        name: str,
        factory: ClientFactory,
        prefix: str,
        patience: float,
        lifetime: float,
        changed: Callable[[bool], object],
        dispose: Callable[[Any], object],
    ) -> None:
        self._reactor = reactor
        self._name = name
        self._prefix = prefix
        self._patience = patience
        self._lifetime = lifetime
        self._changed = changed
        self._dispose = dispose
        self._renewal: IDelayedCall | None = None
        self._factory = factory
        self._client: Any = None
        self._live = False
        self._epoch = 0
        self._has_prefix = not prefix
        self._closed = False
        self._pending: dict[Request, None] = {}
        self._watches = WatchTable(reactor, self._take_back)
        self._leavings = Leavings(reactor, name, self)

    @property
    def pending(self) -> int:
        """How many operations wait."""
        return len(self._pending)

    @property
    def is_live(self) -> bool:
        """Whether there is a connection."""
        return self._live

    def start(self) -> None:
        """Connect, however long it takes."""
        self._renewal = self._reactor.callLater(self._lifetime, self._renew)
        self._client = client = self._factory()
        client.add_listener(partial(self._thd_state, client))
        client.start_async()

    def _renew(self) -> None:
        """Give up a client that finds no connection, and begin with another."""
        log.info(
            "unicorn {unicorn}: no connection to ZooKeeper for {seconds} s; the session"
            " is given up",
            unicorn=self._name,
            seconds=self._lifetime,
        )
        client, self._client = self._client, None
        self._forget_session()
        self._dispose(client)
        self.start()

    def _forget_session(self) -> None:
        self._leavings.forget()
        # Who has forgotten our session may have forgotten more.
        self._has_prefix = not self._prefix

    def _keep_client(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            self._renewal = None

    def close(self) -> Any:
        """
        End everything.

        :returns: the client, to be stopped in a thread; or ``None``.
        """
        self._keep_client()
        self._closed = True
        self._live = False
        self._leavings.forget()
        self._lose("this backend has been stopped")
        self._watches.stop()
        for request in list(self._pending):
            request.refuse(self._loss("this backend has been stopped"))
        client, self._client = self._client, None
        return client

    # The session

    def _thd_state(self, client: Any, state: str) -> None:
        self._reactor.callFromThread(self._state, client, state)

    def _state(self, client: Any, state: str) -> None:
        if client is not self._client:
            return
        self._epoch += 1
        self._keep_client()
        if state == KazooState.CONNECTED:
            if self._has_prefix:
                self._go_live()
            else:
                made = client.ensure_path_async(self._prefix)
                made.rawlink(partial(self._thd_prefixed, self._epoch))
            return
        self._live = False
        self._renewal = self._reactor.callLater(self._lifetime, self._renew)
        if state == KazooState.LOST:
            self._forget_session()
        self._lose("the connection to ZooKeeper is lost")
        # kazoo does so, too, but not with what it was given just now.
        for request in list(self._pending):
            if request.has_begun:
                request.refuse(self._loss("the connection to ZooKeeper is lost"))
        self._changed(False)

    def _thd_prefixed(self, epoch: int, made: Any) -> None:
        self._reactor.callFromThread(self._prefixed, epoch, made.exception)

    def _prefixed(self, epoch: int, error: Exception | None) -> None:
        if epoch != self._epoch or self._closed:
            return
        if error is not None:
            # Whoever needs it will hear of it.
            log.error(
                "unicorn {unicorn}: the prefix {prefix} cannot be made: {error}",
                unicorn=self._name,
                prefix=self._prefix,
                error=translated(error),
            )
        self._has_prefix = error is None
        self._go_live()

    def _go_live(self) -> None:
        self._live = True
        # First: nothing that is asked for later is left over from before.
        self._leavings.collect()
        for request in list(self._pending):
            request.submit(self._client)
        self._changed(True)

    def _lose(self, reason: str) -> None:
        self._watches.lose(self._loss(reason))

    def _loss(self, reason: str) -> ConnectionLoss:
        return ConnectionLoss(f"unicorn {self._name!r}: {reason}")

    def session(self) -> int:
        """Give the number of the session."""
        return int(self._client.client_id[0]) if self._client.client_id else 0

    # Keeper

    def read(self, path: str) -> Deferred[tuple[bytes, Stat]]:
        full = self._prefix + path
        return self.ask(lambda client: client.get_async(full), _data_and_stat)

    def look(self, path: str, watch: Watch | None = None) -> Deferred[Stat | None]:
        full = self._prefix + path
        told = self._watches.arm(full, False, watch) if watch is not None else None
        return self.ask(lambda client: client.exists_async(full, told), _stat_or_none)

    def names(
        self, path: str, watch: Watch | None = None
    ) -> Deferred[tuple[list[str], Stat]]:
        full = self._prefix + path
        told = self._watches.arm(full, True, watch) if watch is not None else None
        return self.ask(
            lambda client: client.get_children_async(full, told, include_data=True),
            _names_and_stat,
        )

    def create(
        self, path: str, data: bytes, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        full = self._prefix + path

        def made(answer: str) -> str:
            if ephemeral and sequence:
                self._leavings.made(answer)
            return answer[len(self._prefix) :]

        def lost() -> None:
            if ephemeral and sequence:
                self._leavings.maybe_made(full)

        return self.ask(
            lambda client: client.create_async(
                full, data, ephemeral=ephemeral, sequence=sequence
            ),
            made,
            undo=self.release if ephemeral else None,
            lost=lost,
        )

    def write(self, path: str, data: bytes, version: int) -> Deferred[Stat]:
        full = self._prefix + path
        return self.ask(lambda client: client.set_async(full, data, version), _stat)

    def delete(self, path: str, version: int) -> Deferred[None]:
        full = self._prefix + path
        return self.ask(lambda client: client.delete_async(full, version), _nothing)

    def release(self, path: str) -> None:
        if not self._closed:
            self._leavings.release(self._prefix + path)

    # Operations

    def ask(
        self,
        begin: Callable[[Any], Any],
        convert: Callable[[Any], Any],
        undo: Callable[[Any], object] | None = None,
        lost: Callable[[], object] | None = None,
    ) -> Deferred[Any]:
        """
        Have one operation done.

        :param begin: starts it at a client and gives kazoo's result.
        :param convert: what it gives to what the caller wants.
        :param undo: called with an answer that nobody wants any more.
        :param lost: called if it is unknown whether it took place.
        """
        if self._closed:
            return fail(self._loss("this backend has been stopped"))
        if len(self._pending) >= PENDING_LIMIT:
            return fail(
                UnicornBusy(
                    f"unicorn {self._name!r}: {PENDING_LIMIT} operations wait for"
                    " ZooKeeper, which is the limit; try again later"
                )
            )
        request = Request(self._reactor, self._pending, begin, convert, undo, lost)
        request.bound(
            self._patience,
            self._loss(
                f"ZooKeeper has not answered within {self._patience:g} s; whether the"
                " operation took effect is unknown"
            ),
        )
        if self._live:
            request.submit(self._client)
        return request.answer

    def _take_back(self, armed: Armed) -> None:
        if self._live:
            take_back(self._client, armed)


def _stat(stat: Any) -> Stat:
    return Stat(stat.version, stat.cversion, stat.numChildren)


def _stat_or_none(stat: Any) -> Stat | None:
    return None if stat is None else _stat(stat)


def _data_and_stat(answer: Any) -> tuple[bytes, Stat]:
    data, stat = answer
    return bytes(data), _stat(stat)


def _names_and_stat(answer: Any) -> tuple[list[str], Stat]:
    names, stat = answer
    return list(names), _stat(stat)


def _nothing(answer: Any) -> None:
    """What is deleted has nothing to say."""
