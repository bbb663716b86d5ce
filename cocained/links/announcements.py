# -*- test-case-name: cocained.test.test_links_announcements -*-
"""
What other nodes are told of ours: their ``connect`` streams (protocol.md §3.3).

A remote that comes is told everything at once, and each change afterwards.  A
change is packed once, whoever hears it: a thousand remotes cost a thousand
references to the same bytes.

A remote that does not read is told nothing meanwhile.  When it reads again it
hears how things are then, in one message; so it cannot make us remember more
than there is to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgpack
from twisted.logger import Logger

from cocained.errors import Category, CocainedError, NodeCode
from cocained.links.tidings import (
    EXTRA_HEADER,
    GROUPS_KEY,
    GROUPS_LIMIT,
    check_name,
)
from cocained.rpc.codec import encode, frame_head, pack
from cocained.rpc.graph import CLOSE, WRITE
from cocained.rpc.headers import Header, Trace, encode_trace
from cocained.rpc.session import Session

log = Logger()

#: Most remotes that are told: as many as may be listened to.
REMOTE_LIMIT = 4096

#: Most services that wait for a remote that does not read: those that one node
#: may have, and as many that have gone meanwhile.
WAITING_LIMIT = 32768

#: Most bytes of refreshed groups' names in one message; beyond it all groups
#: are meant.  Headers of a frame may have four times as many.
GROUPS_BYTES = 16384

_EMPTY_MAP: Final = b"\x80"


class TooManyRemotes(CocainedError):
    """As many nodes listen as may."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class RemoteTooSlow(CocainedError):
    """A node does not read, and too much has changed meanwhile."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class Message:
    """
    One write, packed when it is first sent.

    :param args: its packed arguments.
    :param extra: the packed map of its header.
    """

    __slots__ = ("_args", "_extra", "_frame", "_key")

    def __init__(self, args: bytes, extra: bytes) -> None:
        self._args = args
        self._extra = extra
        # Nearly all remotes use channel 1 and no trace; one frame is enough.
        self._key: tuple[int, Trace] | None = None
        self._frame = b""

    def frame(self, channel: int, trace: Trace) -> bytes:
        """The whole frame for one stream."""
        key = channel, trace
        if self._key != key:
            headers = encode_trace(trace, [(EXTRA_HEADER, self._extra)])
            parts = frame_head(channel), bytes((WRITE,)), self._args, headers
            self._key, self._frame = key, b"".join(parts)
        return self._frame


class Stream:
    """
    The stream of one remote; also the receiver of its channel.

    :param announcements: whose stream it is.
    :param remote: uuid of the node that listens.
    :param session: its connection.
    :param channel: where it listens.
    :param headers: of its request.
    """

    __slots__ = (
        "_announcements",
        "_channel",
        "_groups",
        "_halted",
        "_session",
        "_trace",
        "_waiting",
        "remote",
    )

    def __init__(
        self,
        announcements: Announcements,
        remote: str,
        session: Session,
        channel: int,
        headers: Iterable[Header],
    ) -> None:
        self._announcements = announcements
        self._session = session
        self._channel = channel
        self._trace = Trace.from_headers(headers)
        self._halted = False
        # Service to its packed value, the latest of each.
        self._waiting: dict[str, bytes] = {}
        self._groups: dict[str, None] | None = None
        self.remote = remote

    def write(self, message: Message) -> None:
        """Send a message whether there is room for it or not."""
        self._session.send(message.frame(self._channel, self._trace))

    def tell(self, message: Message, changes: Mapping[str, bytes]) -> None:
        """
        Send a message, or remember what it says until there is room.

        :param changes: what it says, service to packed value.
        """
        if not self._wait():
            self.write(message)
            return
        self._waiting.update(changes)
        if len(self._waiting) > WAITING_LIMIT:
            self._session.hang_up(
                RemoteTooSlow("the connection is not read while services change")
            )

    def tell_groups(self, message: Message, names: Iterable[str]) -> None:
        """
        The same for a message about routing groups.

        :param names: all groups if there are none.
        """
        if not self._wait():
            self.write(message)
            return
        fresh = dict.fromkeys(names)
        if self._groups is None:
            self._groups = fresh
        elif not self._groups or not fresh:
            self._groups = {}
        else:
            self._groups.update(fresh)
            if len(self._groups) > GROUPS_LIMIT:
                self._groups = {}

    def _wait(self) -> bool:
        if self._session.congested and not self._halted:
            self._session.hold(self)
        return self._halted

    def leave(self) -> None:
        """Say nothing more, not even what has waited."""
        self._waiting = {}
        self._groups = None
        session = self._session
        if session.channels.get(self._channel) is self:
            del session.channels[self._channel]
        session.let_go(self)

    def close(self) -> None:
        """Say that nothing more will be said."""
        self.leave()
        self._session.send(encode(self._channel, CLOSE, [], encode_trace(self._trace)))

    # Source, for the session

    def halt(self) -> None:
        self._halted = True

    def release(self) -> None:
        self._halted = False
        waiting, self._waiting = self._waiting, {}
        groups, self._groups = self._groups, None
        if not self._session.connected:
            return
        if waiting:
            self.write(self._announcements.message(waiting))
        if groups is not None:
            self.write(self._announcements.groups_message(groups))

    # Receiver, for the session

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        # The input half of this channel is over; nothing is expected on it.
        self._session.dropped += 1

    def discard(self, error: CocainedError) -> None:
        self._announcements.forget(self)


class Announcements:
    """
    All remotes that listen, and what there is to tell them.

    :param uuid: of this node.
    :param extra: values that are sent along.
    """

    def __init__(self, uuid: str, extra: Mapping[str, Any]) -> None:
        self._head = b"\x92" + pack(uuid)
        self._extra = dict(extra)
        self._packed_extra = pack(self._extra)
        self._map_head = msgpack.Packer().pack_map_header
        self._services: dict[str, bytes] = {}
        self._streams: dict[str, Stream] = {}
        # Everything, for those who come before the next change.
        self._snapshot: Message | None = None

    def __len__(self) -> int:
        """How many remotes listen."""
        return len(self._streams)

    def listen(
        self, remote: str, session: Session, channel: int, headers: list[Header]
    ) -> Stream:
        """
        Tell everything to one more remote, and each change from now on.

        A former stream of the same remote hears nothing more, not even that.

        :param remote: uuid of the node that listens.
        :returns: the receiver of its channel.
        :raises TooManyRemotes: see :data:`REMOTE_LIMIT`.
        :raises InvalidArgument: the uuid is empty or too long.
        """
        check_name(remote, "the uuid of a node")
        former = self._streams.get(remote)
        if former is None and len(self._streams) >= REMOTE_LIMIT:
            raise TooManyRemotes(f"{REMOTE_LIMIT} nodes listen already, the limit")
        stream = Stream(self, remote, session, channel, headers)
        if former is not None:
            former.leave()
        self._streams[remote] = stream
        if self._snapshot is None:
            self._snapshot = self.message(self._services)
        stream.write(self._snapshot)
        return stream

    def forget(self, stream: Stream) -> None:
        """*stream* has nobody at its end any more."""
        if self._streams.get(stream.remote) is stream:
            del self._streams[stream.remote]

    def set(self, name: str, packed: bytes) -> None:
        """
        A service is there, or is another one than before.

        :param packed: ``[endpoints, version, graph]``.
        """
        self._services[name] = packed
        self._tell({name: packed})

    def remove(self, name: str, packed: bytes) -> None:
        """
        A service is gone; one that was not there is no error.

        :param packed: ``[[], version, graph]``.
        """
        if self._services.pop(name, None) is not None:
            self._tell({name: packed})

    def refreshed(self, names: Iterable[str]) -> None:
        """Routing groups were refreshed here: others may want to do the same."""
        names = list(names)
        if not names:
            return
        if len(names) > GROUPS_LIMIT or len(pack(names)) > GROUPS_BYTES:
            names = []
        message = self.groups_message(names)
        for stream in list(self._streams.values()):
            stream.tell_groups(message, names)

    def close(self) -> None:
        """Say to everybody that nothing more will be said."""
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.close()

    def _tell(self, changes: Mapping[str, bytes]) -> None:
        self._snapshot = None
        message = self.message(changes)
        # One that is too slow leaves meanwhile.
        for stream in list(self._streams.values()):
            stream.tell(message, changes)

    def message(self, services: Mapping[str, bytes]) -> Message:
        """Make the write that tells of *services*, name to packed value."""
        parts = [self._head, self._map_head(len(services))]
        for name, packed in services.items():
            parts += (pack(name), packed)
        return Message(b"".join(parts), self._packed_extra)

    def groups_message(self, names: Iterable[str]) -> Message:
        """
        Make the write that tells of refreshed groups, of all if there are none.

        For others than us it is empty.
        """
        extra = pack({**self._extra, GROUPS_KEY: list(names)})
        return Message(self._head + _EMPTY_MAP, extra)
