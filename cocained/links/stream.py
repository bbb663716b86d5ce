# -*- test-case-name: cocained.test.test_links_announcements -*-
"""
The ``connect`` stream of one remote, and what is written on it.

A remote that does not read is told nothing meanwhile.  When it reads again it
hears how things are then, in one message; so it cannot make us remember more
than there is to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cocained.errors import CocainedError
from cocained.links.errors import RemoteTooSlow
from cocained.links.tidings import EXTRA_HEADER, GROUPS_LIMIT
from cocained.rpc.codec import encode, frame_head
from cocained.rpc.graph import CLOSE, WRITE
from cocained.rpc.headers import Header, Trace, encode_trace
from cocained.rpc.session import Session

if TYPE_CHECKING:
    from cocained.links.announcements import Announcements

#: Most services that wait for a remote that does not read: those that one node
#: may have, and as many that have gone meanwhile.
WAITING_LIMIT = 32768


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
        "_trace",
        "_waiting",
        "remote",
        "session",
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
        self.session = session
        self._channel = channel
        self._trace = Trace.from_headers(headers)
        self._halted = False
        # Service to its packed value, the latest of each.
        self._waiting: dict[str, bytes] = {}
        self._groups: dict[str, None] | None = None
        self.remote = remote

    @property
    def key(self) -> tuple[str, Session]:
        """Who listens, and over which connection."""
        return self.remote, self.session

    def write(self, message: Message) -> None:
        """Send a message whether there is room for it or not."""
        self.session.send(message.frame(self._channel, self._trace))

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
            self.session.hang_up(
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
        if self.session.congested and not self._halted:
            self.session.hold(self)
        return self._halted

    def leave(self) -> None:
        """Say nothing more, not even what has waited."""
        self._waiting = {}
        self._groups = None
        session = self.session
        if session.channels.get(self._channel) is self:
            del session.channels[self._channel]
        session.let_go(self)

    def close(self) -> None:
        """Say that nothing more will be said."""
        self.leave()
        self.session.send(encode(self._channel, CLOSE, [], encode_trace(self._trace)))

    # Source, for the session

    def halt(self) -> None:
        self._halted = True

    def release(self) -> None:
        self._halted = False
        waiting, self._waiting = self._waiting, {}
        groups, self._groups = self._groups, None
        if not self.session.connected:
            return
        if waiting:
            for message in self._announcements.messages(waiting):
                self.write(message)
        if groups is not None:
            self.write(self._announcements.groups_message(groups))

    # Receiver, for the session

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        # The input half of this channel is over; nothing is expected on it.
        self.session.dropped += 1

    def discard(self, error: CocainedError) -> None:
        self._announcements.forget(self)
