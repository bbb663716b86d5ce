# -*- test-case-name: cocained.test.test_apps_speech -*-
"""
The worker's side of the engine's socket: handshake and control.

Protocol 1 (protocol.md §8.4) has control on channel 1 and streams as clients
have them; protocol 0 (§8.3) numbers all its messages in one row.  Which one a
worker speaks is said in its manifest and told it on its command line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from cocained.apps.dialect import NUMBERED, PLAIN
from cocained.apps.worker import Worker
from cocained.errors import (
    CocainedError,
    InvalidArgument,
    RemoteProtocolError,
)
from cocained.rpc.arguments import Signature, integer, text
from cocained.rpc.codec import encode, pack, short_head
from cocained.rpc.headers import UNTRACED, Header
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
    dialect = PLAIN

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
    dialect = NUMBERED

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == 1:
            self.ready = True
            self._session.send(short_head(self._channel) + b"\x01\x90")
            self._worker.heartbeat()
        elif kind == 2:
            self._farewell(args)
        else:
            self._unknown(kind)

    def terminate(self, code: int, reason: str) -> None:
        head = short_head(self._channel)
        self._session.send(head + b"\x02" + pack([code, reason]))
