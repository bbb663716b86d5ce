# -*- test-case-name: cocained.test.test_apps_speech -*-
"""
The worker's side of the engine's socket: handshake, control, dialects.

Protocol 1 (protocol.md §8.4) has control on channel 1 and streams as clients
have them; protocol 0 (§8.3) numbers all its messages in one row.  Which one a
worker speaks is said in its manifest and told it on its command line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from cocained.apps.worker import Worker
from cocained.errors import (
    Category,
    CocainedError,
    InvalidArgument,
    RemoteProtocolError,
)
from cocained.rpc.arguments import Signature, blob, integer, text
from cocained.rpc.codec import encode, pack, uint, unpack
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import UNTRACED, Header
from cocained.rpc.roles import Receiver
from cocained.rpc.session import Session
from cocained.rpc.wire import cancelled

log = Logger()

#: Highest channel that a worker may open, with its handshake or later: ours are
#: counted on from it, and must fit into 64 bits as well.
LAST_CHANNEL = 1 << 62

#: Signs of a worker's uuid; of what strangers say instead no more is logged.
UUID_SIZE = 36

_UUID = Signature([text])
_TERMINATE = Signature([integer, text])


class Handshake:
    """
    The root of the connections that workers make.

    :param find: gives the worker of a uuid, or ``None``.
    :param protocol: the worker protocol of the app, 0 or 1.
    """

    def __init__(self, find: Callable[[str], Worker | None], protocol: int) -> None:
        self._find = find
        self._speech: type[Speech1] = (Speech0, Speech1)[protocol]

    def open(
        self,
        session: Session,
        channel: int,
        kind: int,
        args: list[Any],
        headers: list[Header],
    ) -> None:
        if channel > LAST_CHANNEL:
            session.fail(RemoteProtocolError(f"channel {channel} leaves us none"))
            return
        try:
            if kind != 0:
                raise InvalidArgument("the first message is the handshake, number 0")
            (uuid,) = _UUID.convert(args)
        except InvalidArgument as error:
            log.warn("a worker's message was refused: {error}", error=error)
            _refuse(session)
            return
        worker = self._find(uuid)
        if worker is None:
            log.warn(
                "a handshake of unknown worker {worker} was refused",
                worker=ascii(uuid[:UUID_SIZE]),
            )
            _refuse(session)
            return
        speech = self._speech(worker, session, channel)
        session.channels[channel] = speech
        if not worker.attach(session, speech):
            del session.channels[channel]
            log.warn("a second handshake of worker {worker} was refused", worker=uuid)
            _refuse(session)


def _refuse(session: Session) -> None:
    """Disconnect a stranger; a worker that has shaken hands before lives on."""
    session.dropped += 1
    if not session.channels:
        session.hang_up(cancelled())


class Speech1:
    """
    Worker protocol 1.

    :param worker: who hears of control messages.
    :param session: the worker's connection.
    :param channel: the channel of its handshake, usually 1.
    """

    ready = True
    start = b"\x94"
    invoke = b"\x00\x91"
    write = b"\x00\x91"
    is_plain = True

    def __init__(self, worker: Worker, session: Session, channel: int) -> None:
        self._worker = worker
        self._session = session
        self._channel = channel

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == 0:
            self._session.value(self._channel, [])
            self._worker.heartbeat()
        elif kind == 1:
            self._farewell(args)
        else:
            self._unknown(kind)

    def discard(self, error: CocainedError) -> None:
        self._worker.control_lost(error)

    def terminate(self, code: int, reason: str) -> None:
        self._session.send(encode(self._channel, 1, [code, reason], UNTRACED))

    def body(self, body: bytes) -> bytes:
        return body

    def receiver(self, reply: Receiver) -> Receiver:
        return reply

    def _farewell(self, args: list[Any]) -> None:
        try:
            code, reason = _TERMINATE.convert(args)
        except InvalidArgument as error:
            log.warn(
                "worker {worker} says terminate in a way that is not understood:"
                " {error}; does it speak the other worker protocol than its"
                " manifest says?",
                worker=self._worker.uuid,
                error=error,
            )
        else:
            self._worker.farewell(code, reason)

    def _unknown(self, kind: int) -> None:
        self._session.dropped += 1
        log.warn(
            "worker {worker} sent control message {kind}, which does not exist",
            worker=self._worker.uuid,
            kind=kind,
        )


class Speech0(Speech1):
    """Worker protocol 0: events flow from the first heartbeat on."""

    ready = False
    start = b"\x93"
    invoke = b"\x03\x91"
    write = b"\x04\x91"
    is_plain = False

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == 1:
            self.ready = True
            self._session.send(self.start + uint(self._channel) + b"\x01\x90")
            self._worker.heartbeat()
        elif kind == 2:
            self._farewell(args)
        else:
            self._unknown(kind)

    def terminate(self, code: int, reason: str) -> None:
        head = self.start + uint(self._channel)
        self._session.send(head + b"\x02" + pack([code, reason]))

    def body(self, body: bytes) -> bytes:
        kind = body[:1]
        if kind == b"\x01":
            (_, code), reason = unpack(body[1:])
            return b"\x05" + pack([code, reason])
        return bytes((kind[0] + 4,)) + body[1:]

    def receiver(self, reply: Receiver) -> Receiver:
        return _Reply0(reply)


class _Reply0:
    """Translates a worker's stream of protocol 0."""

    __slots__ = ("_reply",)

    _ERROR = Signature([integer, blob])

    def __init__(self, reply: Receiver) -> None:
        self._reply = reply

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == 5:
            try:
                code, reason = self._ERROR.convert(args)
            except InvalidArgument:
                self._reply.message(ERROR, [], headers)
            else:
                pair = [int(Category.WORKER), code]
                self._reply.message(ERROR, [pair, reason], headers)
        elif kind in (4, 6):
            self._reply.message(WRITE if kind == 4 else CLOSE, args, headers)
        else:
            self._reply.message(kind + 65536, args, headers)

    def discard(self, error: CocainedError) -> None:
        self._reply.discard(error)
