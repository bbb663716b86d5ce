# -*- test-case-name: cocained.test.test_gateways_vicodyn_relay -*-
"""
One answer on its way back: what a peer sends, passed to the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cocained.apps.bodies import CHUNK_HEADS, CLOSE_BODY, WRITE_HEAD, error_body
from cocained.errors import CocainedError, InvalidArgument, SlotNotFound
from cocained.rpc.codec import LARGE, frame_head, raw_head
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.rpc.headers import Header
from cocained.rpc.session import Session

if TYPE_CHECKING:
    from cocained.gateways.vicodyn.peer import Link
    from cocained.gateways.vicodyn.relay import Relay


class Answer:
    """
    The peer's half of one attempt.

    :param relay: what it answers.
    :param link: the connection to the peer.
    :param session: the client's connection.
    :param channel: the client's channel.
    :param headers: packed, of each frame.
    """

    __slots__ = ("_fresh", "_head", "_headers", "_link", "_session", "open", "relay")

    def __init__(
        self, relay: Relay, link: Link, session: Session, channel: int, headers: bytes
    ) -> None:
        self.relay = relay
        self._link = link
        self._session = session
        self._head = frame_head(channel)
        self._headers = headers
        self._fresh = True
        #: whether the client still waits for the end
        self.open = True

    def message(self, kind: int, args: list[Any], headers: list[Header]) -> None:
        if kind == WRITE:
            payload = args[0] if args else None
            if type(payload) is not bytes:
                # The peer broke the rules of the stream; it is told, and lives on.
                self.relay.abandon(
                    InvalidArgument("the node sent a chunk that is no string")
                )
                return
            if self._fresh:
                self._fresh = False
                self.relay.answered()
            session = self._session
            size = len(payload)
            if size < LARGE:
                out = session.out or session.speak()
                out += (self._head, CHUNK_HEADS[size], payload, self._headers)
            else:
                session.send(self._head + WRITE_HEAD + raw_head(size))
                session.send(payload)
                session.send(self._headers)
            if session.congested:
                link = self._link
                session.press(link.session, size)
                link.burdened(session)
        elif kind == CLOSE:
            if self._fresh:
                self._fresh = False
                self.relay.answered()
            session = self._session
            out = session.out or session.speak()
            out += (self._head, CLOSE_BODY, self._headers)
            self.relay.ended()
        elif kind == ERROR:
            try:
                body = error_body(args)
            except InvalidArgument as error:
                self.relay.abandon(error)
                return
            if self._fresh:
                category, code = args[0][:2]
                self.relay.refused(body, category, code)
            else:
                self.relay.failed(body)
        else:
            self.relay.abandon(
                SlotNotFound(f"the node sent message {kind} in a stream")
            )

    def discard(self, error: CocainedError) -> None:
        """The peer is gone."""
        self.relay.lost(error)
