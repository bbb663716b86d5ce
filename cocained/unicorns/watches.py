# -*- test-case-name: cocained.test.test_unicorns_ensemble -*-
"""
The watches that one ZooKeeper session has armed.

All who look at the same thing share one watch of the server.  One that nobody
needs any longer is taken back there, or whoever subscribes and closes again and
again would fill the server's memory, and ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo.exceptions import EXCEPTIONS, ZookeeperError
from kazoo.protocol.serialization import int_struct, write_string
from kazoo.protocol.states import EventType
from twisted.internet.interfaces import IDelayedCall

from cocained.errors import UnicornError
from cocained.interfaces import IReactor
from cocained.unicorns.keeper import Change, Watch

#: Seconds for which a watch without anybody stays: most are wanted again at once.
LINGER = 1.0

_CHANGES = {
    EventType.CREATED: Change.CREATED,
    EventType.CHANGED: Change.WRITTEN,
    EventType.DELETED: Change.DELETED,
    EventType.CHILD: Change.CHILDREN,
}

#: What the server numbers the two kinds of watches.
_CHILDREN, _DATA = 1, 2

#: The server's code for a watch that it does not have (any more).
_NO_WATCHER = -121


class _NoWatcher(ZookeeperError):  # type: ignore[misc]  # kazoo has no types
    """The watch has fired on its way."""

    code = _NO_WATCHER


# kazoo ends a connection at a code that it does not know.
EXCEPTIONS.setdefault(_NO_WATCHER, _NoWatcher)


class RemoveWatches:
    """
    A request that kazoo lacks: take a watch back (ZooKeeper 3.5 and later).

    :param path: in full.
    :param kind: of the watch.
    :param kept: where kazoo keeps its watches of that kind, by path.
    """

    #: The number of the request on the wire.
    type = 18

    def __init__(self, path: str, kind: int, kept: dict[str, Any]) -> None:
        self.path = path
        self._kind = kind
        self._kept = kept

    def serialize(self) -> bytearray:
        """Give the request's bytes."""
        data = bytearray(write_string(self.path))
        data.extend(int_struct.pack(self._kind))
        return data

    def deserialize(self, data: bytes, offset: int) -> bool:
        """Take the answer, which is empty; called in kazoo's thread."""
        self._kept.pop(self.path, None)
        return True


class Armed:
    """
    One watch of the server, and all who want to hear of it.

    :param told: called in kazoo's thread with this and the kind of event.
    """

    def __init__(
        self, path: str, is_children: bool, told: Callable[[Armed, str], None]
    ) -> None:
        self.path = path
        self.is_children = is_children
        self.watches: set[Watch] = set()
        self._told = told

    def thd_event(self, event: Any) -> None:
        """Take what kazoo tells; it keeps one of these, however often it is given."""
        self._told(self, event.type)


class WatchTable:
    """
    All watches of one keeper.

    :param reactor: hands events over, and gives the time.
    :param take_back: called with a watch of the server that nobody needs.
    """

    def __init__(self, reactor: IReactor, take_back: Callable[[Armed], None]) -> None:
        self._reactor = reactor
        self._take_back = take_back
        self._armed: dict[tuple[str, bool], Armed] = {}
        self._idle: dict[Armed, None] = {}
        self._sweep: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, path: str, is_children: bool, watch: Watch) -> Callable[[Any], None]:
        """
        Look out for *watch*.

        :returns: what kazoo is to call.
        """
        key = (path, is_children)
        armed = self._armed.get(key)
        if armed is None:
            armed = self._armed[key] = Armed(path, is_children, self._thd_told)
        armed.watches.add(watch)
        self._idle.pop(armed, None)
        watch.armed(lambda: self._disarm(armed, watch))
        return armed.thd_event

    def lose(self, error: UnicornError) -> None:
        """The session or its connection is gone, and all watches with it."""
        lost, self._armed = self._armed, {}
        self._idle.clear()
        for armed in lost.values():
            for watch in list(armed.watches):
                watch.fire(error)

    def stop(self) -> None:
        """Stop to look after watches that nobody needs."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _disarm(self, armed: Armed, watch: Watch) -> None:
        armed.watches.discard(watch)
        if not armed.watches and self._is_current(armed):
            self._idle[armed] = None
            if self._sweep is None:
                self._sweep = self._reactor.callLater(LINGER, self._take_idle_back)

    def _take_idle_back(self) -> None:
        self._sweep = None
        idle, self._idle = self._idle, {}
        for armed in idle:
            del self._armed[armed.path, armed.is_children]
            self._take_back(armed)

    def _is_current(self, armed: Armed) -> bool:
        return self._armed.get((armed.path, armed.is_children)) is armed

    def _thd_told(self, armed: Armed, kind: str) -> None:
        self._reactor.callFromThread(self._told, armed, kind)

    def _told(self, armed: Armed, kind: str) -> None:
        change = _CHANGES.get(kind)
        # Others tell of the session, of which its keeper hears by itself.
        if change is not None and self._is_current(armed):
            del self._armed[armed.path, armed.is_children]
            self._idle.pop(armed, None)
            for watch in list(armed.watches):
                watch.fire(change)


def take_back(client: Any, armed: Armed) -> None:
    """Ask the server to forget a watch; what comes of it changes nothing."""
    kind = _CHILDREN if armed.is_children else _DATA
    kept = client._child_watchers if armed.is_children else client._data_watchers
    client._call(RemoveWatches(armed.path, kind, kept), client.handler.async_result())
