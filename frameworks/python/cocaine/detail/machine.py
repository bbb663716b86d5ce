# -*- test-case-name: tests.test_machine -*-
"""
The worker's side of its connection to the engine, protocols 0 and 1. Sans-IO.

========== ==================== ====================
message     protocol 0           protocol 1
========== ==================== ====================
handshake  ``[1, 0, [uuid]]``    ``[1, 0, [uuid]]``
heartbeat  ``[1, 1, []]``        ``[1, 0, []]``
terminate  ``[1, 2, [c, r]]``    ``[1, 1, [c, r]]``
invoke     ``[n, 3, [event]]``   ``[n, 0, [event]]``
write      ``[n, 4, [data]]``    ``[n, 0, [data]]``
error      ``[n, 5, [c, r]]``    ``[n, 1, [[k, c], r]]``
close      ``[n, 6, []]``        ``[n, 2, []]``
========== ==================== ====================

Source: protocol.md 8.3 and 8.4. In protocol 0 an error does not end a session, so
a close follows it.
"""

from __future__ import annotations

from cocaine.detail.codec import FrameDecoder, broken, pack
from cocaine.detail.graph import text
from cocaine.detail.headers import HeaderReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Input(Protocol):
        """The receiving half of an invocation."""

        def _push(self, data: Any, headers: Any) -> None: ...
        def _choke(self) -> None: ...
        def _fail(self, category: int, code: int, reason: str) -> None: ...

    class Owner(Protocol):
        """Who acts on what the engine says."""

        def invoked(self, channel: int, event: Any, headers: Any) -> Input | None:
            """Start a handler; return its input, or None to ignore the rest."""

        def heartbeat_answered(self) -> None:
            """Learn that the engine is alive."""

        def terminated(self, code: Any, reason: Any) -> None:
            """Learn that the engine wants the worker to end."""

        def lost(self, reason: str) -> None:
            """Learn that the connection is gone."""


class WorkerMachine:
    """
    Frames in, calls of `owner` out; calls in, frames to `write` out.

    :param uuid: the id the engine gave to this worker
    :param protocol: 0 or 1
    :param owner: see :class:`Owner`
    """

    __slots__ = (
        "_decoder",
        "_headers",
        "_inputs",
        "_newest",
        "_owner",
        "_protocol",
        "_shift",
        "_uuid",
        "stream",
    )

    def __init__(self, uuid: str, protocol: int, owner: Owner) -> None:
        self._uuid = uuid
        self._protocol = protocol
        self._owner = owner
        self._shift = 0 if protocol else 4
        self._inputs: dict[int, Input] = {}
        # Channel 1 is the handshake's in protocol 1; in 0 sessions use it too.
        self._newest = 1 if protocol else 0
        self._decoder = FrameDecoder()
        self._headers = HeaderReader()
        self.stream: Any = None

    def hello(self) -> bytes:
        """Return the handshake and the first heartbeat, to leave as one segment."""
        handshake: bytes = pack((1, 0, (self._uuid,)))
        return handshake + self.heartbeat()

    def heartbeat(self) -> bytes:
        """Return a heartbeat."""
        frame: bytes = pack((1, 0 if self._protocol else 1, ()))
        return frame

    def terminate(self, code: Any, reason: Any) -> bytes:
        """Return a terminate message, which is also the answer to one."""
        frame: bytes = pack((1, 1 if self._protocol else 2, (code, reason)))
        return frame

    def write(self, channel: int, data: bytes | str) -> None:
        """Send a chunk."""
        self.stream.write(pack((channel, self._shift, (data,))))

    def error(self, channel: int, category: int, code: int, reason: str) -> None:
        """End the answer with an error."""
        if self._protocol:
            frame = pack((channel, 1, ((category, code), reason)))
        else:
            frame = pack((channel, 5, (code, reason))) + pack((channel, 6, ()))
        self.stream.write(frame)

    def close(self, channel: int) -> None:
        """End the answer."""
        self.stream.write(pack((channel, self._shift + 2, ())))

    def receive(self, data: bytes) -> None:
        """
        Take bytes and act on every complete frame in them.

        Messages of channels that are finished are dropped.

        :raises ProtocolError: when the bytes are not frames
        """
        inputs = self._inputs
        shift = self._shift
        accept = self._headers.accept
        try:
            for frame in self._decoder.feed(data):
                channel = frame[0]
                kind = frame[1] - shift
                args = frame[2]
                headers = accept(frame[3]) if len(frame) > 3 else None
                target = inputs.get(channel)
                if target is None or kind < 0:
                    self._open(channel, kind, args, headers)
                elif kind == 0:
                    target._push(args[0], headers)
                elif kind == 2:
                    del inputs[channel]
                    target._choke()
                elif kind == 1:
                    del inputs[channel]
                    _fail(target, args)
        except Exception as error:
            raise broken(error) from error

    def _open(self, channel: int, kind: int, args: Any, headers: Any) -> None:
        if self._protocol:
            if channel == 1:
                self._control(kind, args)
                return
            invoke = 0
        else:
            if kind in (-3, -2):
                self._control(kind + 3, args)
                return
            invoke = -1
        if kind == invoke and channel > self._newest:
            self._newest = channel
            target = self._owner.invoked(channel, args[0], headers)
            if target is not None:
                self._inputs[channel] = target

    def _control(self, kind: int, args: Any) -> None:
        if kind == 0:
            self._owner.heartbeat_answered()
        elif kind == 1:
            code = args[0] if args else 0
            self._owner.terminated(code, args[1] if len(args) > 1 else "")

    def lost(self, reason: str) -> None:
        """Tell the owner that the connection is gone."""
        self._inputs.clear()
        self._owner.lost(reason)


def _fail(target: Input, args: Any) -> None:
    code = args[0] if args else 0
    category = 0
    if type(code) is list and len(code) == 2:
        category, code = code
    target._fail(category, code, text(args[1]) if len(args) > 1 else "")
