# -*- test-case-name: cocained.test.test_apps_invocation -*-
"""
One event on its way back: what the worker sends, passed to the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cocained.apps.bodies import CHUNK_HEADS, CLOSE_BODY, WRITE_HEAD, error_body
from cocained.errors import CocainedError, InvalidArgument, SlotNotFound, WorkerLost
from cocained.rpc.codec import LARGE, frame_head, raw_head
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import Header
from cocained.rpc.session import Session

if TYPE_CHECKING:
    from cocained.apps.invocation import Invocation


class Reply:
    """
    One event: the worker's half.

    :param invocation: the event.
    :param session: the client's connection.
    :param channel: the client's channel.
    :param headers: packed, for every frame to the client.
    """

    __slots__ = ("_head", "_session", "headers", "invocation", "open")

    def __init__(
        self, invocation: Invocation, session: Session, channel: int, headers: bytes
    ) -> None:
        self.invocation = invocation
        self._session = session
        self._head = frame_head(channel)
        self.headers = headers
        self.open = True

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == WRITE:
            payload = args[0] if args else None
            if type(payload) is not bytes:
                self._refuse(
                    InvalidArgument("the worker sent a chunk that is no string")
                )
                return
            session = self._session
            size = len(payload)
            if size < LARGE:
                out = session.out or session.speak()
                out += (self._head, CHUNK_HEADS[size], payload, self.headers)
            else:
                session.send(self._head + WRITE_HEAD + raw_head(size))
                session.send(payload)
                session.send(self.headers)
            if session.congested:
                worker = self.invocation.worker
                if worker is not None:
                    session.press(worker.session, size)
                    worker.burdened(session)
        elif kind == CLOSE:
            session = self._session
            out = session.out or session.speak()
            out += (self._head, CLOSE_BODY, self.headers)
            self.invocation.reply_ended()
        elif kind == ERROR:
            try:
                body = error_body(args)
            except InvalidArgument as error:
                self._refuse(error)
            else:
                invocation = self.invocation
                self._session.send(self._head + body + self.headers)
                invocation.reply_ended()
                invocation.finish()
        else:
            self._refuse(SlotNotFound(f"the worker sent message {kind} in a stream"))

    def discard(self, error: CocainedError) -> None:
        """The worker is gone."""
        self.invocation.fail(WorkerLost(error.category, error.code))

    def _refuse(self, error: CocainedError) -> None:
        """The worker broke the rules of the stream; it is told, and lives on."""
        self.invocation.abandon(error)
