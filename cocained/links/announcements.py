# -*- test-case-name: cocained.test.test_links_announcements -*-
"""
What other nodes are told of ours: their ``connect`` streams (protocol.md §3.3).

A remote that comes is told everything at once, and each change afterwards.  A
change is packed once, whoever hears it: a thousand remotes cost a thousand
references to the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgpack
from twisted.logger import Logger

from cocained.links.errors import TooManyRemotes
from cocained.links.stream import Message, Stream
from cocained.links.tidings import GROUPS_KEY, GROUPS_LIMIT, check_name
from cocained.rpc.codec import pack
from cocained.rpc.headers import Header
from cocained.rpc.session import Session

log = Logger()

#: Most remotes that are told: as many as may be listened to.
REMOTE_LIMIT = 4096

#: Most of them on one connection.  A node has one; whoever says many uuids must not
#: take the places of all nodes.
SHARE_LIMIT = 16

#: Most bytes of refreshed groups' names in one message; beyond it all groups
#: are meant.  Headers of a frame may have four times as many.
GROUPS_BYTES = 16384

#: Most bytes of services in one message; what there is to tell beyond it follows
#: in others.  A node with some thousand services needs several: those who read
#: them accept 262144 values in a frame, and no value is shorter than a byte.  It
#: also keeps the moment short in which a reader does nothing else.
PART_BYTES = 131072

_EMPTY_MAP: Final = b"\x80"


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
        # By who listens and over which connection: whoever says another's uuid,
        # by mistake or not, must not take away what that one hears.
        self._streams: dict[tuple[str, Session], Stream] = {}
        self._shares: Counter[Session] = Counter()
        self._closed = False
        # Everything, for those who come before the next change.
        self._snapshot: list[Message] = []

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def listen(
        self, remote: str, session: Session, channel: int, headers: list[Header]
    ) -> Stream | None:
        """
        Tell everything to one more remote, and each change from now on.

        A former stream of the same remote and connection hears nothing more, not
        even that.

        :param remote: uuid of the node that listens.
        :returns: the receiver of its channel; ``None`` if nothing is told any
            more, which it hears.
        :raises TooManyRemotes: see :data:`REMOTE_LIMIT`.
        :raises InvalidArgument: the uuid is empty or too long.
        """
        check_name(remote, "the uuid of a node")
        key = remote, session
        former = self._streams.get(key)
        if former is None:
            self._check_room(session)
        stream = Stream(self, remote, session, channel, headers)
        if self._closed:
            stream.close()
            return None
        if former is not None:
            former.leave()
        else:
            self._shares[session] += 1
        self._streams[key] = stream
        log.debug("node {node} listens", node=remote)
        self._snapshot = self._snapshot or self.messages(self._services)
        for message in self._snapshot:
            stream.write(message)
        return stream

    def _check_room(self, session: Session) -> None:
        if len(self._streams) >= REMOTE_LIMIT:
            raise TooManyRemotes(f"{REMOTE_LIMIT} nodes listen already, the limit")
        if self._shares[session] >= SHARE_LIMIT:
            raise TooManyRemotes(
                f"{SHARE_LIMIT} nodes listen over this connection already, the limit"
            )

    def forget(self, stream: Stream) -> None:
        """*stream* has nobody at its end any more."""
        if self._streams.get(stream.key) is stream:
            del self._streams[stream.key]
            self._shares[stream.session] -= 1
            if not self._shares[stream.session]:
                del self._shares[stream.session]
            log.debug("node {node} listens no more", node=stream.remote)

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
        """Say to everybody that nothing more will be said, from now on."""
        self._closed = True
        streams, self._streams = self._streams, {}
        self._shares.clear()
        for stream in streams.values():
            stream.close()

    def _tell(self, changes: Mapping[str, bytes]) -> None:
        self._snapshot = []
        message = self._message(changes)
        # One that is too slow leaves meanwhile.
        for stream in list(self._streams.values()):
            stream.tell(message, changes)

    def messages(self, services: Mapping[str, bytes]) -> list[Message]:
        """Make the writes that tell of *services*, name to packed value."""
        parts: list[dict[str, bytes]] = [{}]
        size = 0
        for name, packed in services.items():
            size += len(name) + len(packed)
            if size > PART_BYTES and parts[-1]:
                parts.append({})
                size = len(name) + len(packed)
            parts[-1][name] = packed
        return list(map(self._message, parts))

    def _message(self, services: Mapping[str, bytes]) -> Message:
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
