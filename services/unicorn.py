# -*- test-case-name: cocained.test.test_services_unicorn -*-
"""
Coordination as a service (plugins.md §4.1).

Each method leaves its channel open for one message of the client, ``close``,
which ends what the method began.  So does the end of the connection.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.interfaces import INode, IRemoteService, IUnicorn
from cocained.rpc.arguments import anything, integer, text
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import PRIMITIVE, STREAMING, Nested
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream
from cocained.services.conversations import Answer, Conversations, Feed

#: What a client may send after each method.
CLOSING: Nested = {0: ("close", {})}


class UnicornArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Arguments of the unicorn service."""

    backend: Annotated[
        str,
        msgspec.Meta(
            description="Name of the backend that is offered, in ``unicorns``."
        ),
    ] = "core"


@implementer(IRemoteService)
class UnicornService(Component[UnicornArgs]):
    """Type ``unicorn``."""

    Args = UnicornArgs
    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: UnicornArgs) -> None:
        super().__init__(node, name, args)
        self._unicorn: IUnicorn = node.unicorn(args.backend)
        self._conversations = Conversations()

    @override
    def stop(self) -> None:
        """Close whatever clients have begun."""
        self._conversations.stop()

    @protocol.stream(0, text, dispatch=CLOSING, upstream=STREAMING)
    def subscribe(
        self, session: Session, channel: int, headers: list[Header], path: str
    ) -> Downstream:
        feed = Feed(self._conversations, session, channel, headers, _versioned)
        return feed.follow(self._unicorn.subscribe(path, feed))

    @protocol.stream(1, text, dispatch=CLOSING, upstream=STREAMING)
    def children_subscribe(
        self, session: Session, channel: int, headers: list[Header], path: str
    ) -> Downstream:
        feed = Feed(self._conversations, session, channel, headers, _children)
        return feed.follow(self._unicorn.children_subscribe(path, feed))

    @protocol.stream(2, text, anything, integer, dispatch=CLOSING, upstream=PRIMITIVE)
    def put(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        value: Any,
        version: int,
    ) -> Downstream | None:
        answer = Answer(self._conversations, session, channel, headers, _put)
        return answer.wait(self._unicorn.put(path, value, version))

    @protocol.stream(3, text, dispatch=CLOSING, upstream=PRIMITIVE)
    def get(
        self, session: Session, channel: int, headers: list[Header], path: str
    ) -> Downstream | None:
        answer = Answer(self._conversations, session, channel, headers, _versioned)
        return answer.wait(self._unicorn.get(path))

    @protocol.stream(4, text, anything, dispatch=CLOSING, upstream=PRIMITIVE)
    def create(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        value: Any,
    ) -> Downstream | None:
        answer = Answer(self._conversations, session, channel, headers, _done)
        return answer.wait(self._unicorn.create(path, value))

    @protocol.stream(5, text, integer, dispatch=CLOSING, upstream=PRIMITIVE, name="del")
    def delete(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        version: int,
    ) -> Downstream | None:
        return self.remove(session, channel, headers, path, version)

    @protocol.stream(6, text, integer, dispatch=CLOSING, upstream=PRIMITIVE)
    def remove(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        version: int,
    ) -> Downstream | None:
        answer = Answer(self._conversations, session, channel, headers, _done)
        return answer.wait(self._unicorn.remove(path, version))

    @protocol.stream(7, text, anything, dispatch=CLOSING, upstream=PRIMITIVE)
    def increment(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        value: Any,
    ) -> Downstream | None:
        answer = Answer(self._conversations, session, channel, headers, _versioned)
        return answer.wait(self._unicorn.increment(path, value))

    @protocol.stream(8, text, dispatch=CLOSING, upstream=STREAMING)
    def lock(
        self, session: Session, channel: int, headers: list[Header], path: str
    ) -> Downstream:
        feed = Feed(self._conversations, session, channel, headers, _done)
        return feed.follow(self._unicorn.lock(path, feed))

    @protocol.stream(9, text, anything, dispatch=CLOSING, upstream=STREAMING)
    def named_lock(
        self,
        session: Session,
        channel: int,
        headers: list[Header],
        path: str,
        value: Any,
    ) -> Downstream:
        feed = Feed(self._conversations, session, channel, headers, _done)
        return feed.follow(self._unicorn.lock(path, feed, value))


# Answers as they travel: the values of one message.


def _versioned(state: Any) -> list[Any]:
    return [list(state)]


def _children(state: Any) -> list[Any]:
    return [state.version, list(state.names)]


def _put(outcome: Any) -> list[Any]:
    is_done, state = outcome
    return [is_done, list(state)]


def _done(outcome: Any) -> list[Any]:
    return [True]
