# -*- test-case-name: cocained.test.test_services_unicorn -*-
"""
What clients of the unicorn service have begun and not closed.

An :class:`Answer` is the one of a primitive, a :class:`Feed` a stream of
states.  Either is over when it has been given, when the client closes or
revokes its channel, and when the connection ends; nothing is sent after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.errors import (
    Category,
    CocainedError,
    NodeCode,
    UnicornError,
)
from cocained.interfaces import IScope, IUnicornObserver
from cocained.rpc.arguments import Signature
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream
from cocained.rpc.values import pack_value

log = Logger()

#: Most answers and feeds of one connection at a time: each may be a watch or a
#: lock at the backend.  The original has no limit.
SCOPE_LIMIT = 1024

_NOTHING = Signature([])

Encode = Callable[[Any], list[Any]]


class TooManyScopes(CocainedError):
    """A connection has as many subscriptions and locks as one may have."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class Conversations:
    """All that goes on, by connection."""

    def __init__(self) -> None:
        self._open: dict[Session, dict[Conversation, None]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def begin(self, session: Session, conversation: Conversation) -> None:
        """
        Note what has begun.

        :raises TooManyScopes: the connection has enough.
        """
        found = self._open.setdefault(session, {})
        if len(found) >= SCOPE_LIMIT:
            raise TooManyScopes(
                f"{SCOPE_LIMIT} operations, subscriptions and locks are open on this"
                " connection; close some, or open another connection"
            )
        found[conversation] = None

    def end(self, session: Session, conversation: Conversation) -> None:
        """Forget what is over."""
        found = self._open.get(session)
        if found is not None:
            found.pop(conversation, None)
            if not found:
                del self._open[session]

    def stop(self) -> None:
        """Close everything."""
        for found in list(self._open.values()):
            for conversation in list(found):
                conversation.discard()


class Conversation:
    """
    One channel.

    :param encode: makes the values of a message.
    :raises TooManyScopes: the connection has enough of them.
    :raises InvalidTrace: see :class:`~cocained.rpc.streams.Upstream`.
    """

    def __init__(
        self,
        conversations: Conversations,
        session: Session,
        channel: int,
        headers: list[Header],
        encode: Encode,
    ) -> None:
        self.session = session
        self.channel = channel
        self.encode = encode
        self.upstream = Upstream(session, channel, headers, pack_value)
        self.downstream = Downstream(
            session, channel, {0: (_NOTHING, self._close)}, self.discard
        )
        self.is_over = False
        self._conversations = conversations
        conversations.begin(session, self)

    def _close(self) -> bool:
        self.discard()
        return True

    def discard(self) -> None:
        """The client wants nothing more; overridden to let go of it."""
        self.upstream.closed = True
        self.end()

    def end(self) -> None:
        """It is over; what the client still sends on the channel is dropped."""
        self.is_over = True
        self._conversations.end(self.session, self)
        if self.session.channels.get(self.channel) is self.downstream:
            del self.session.channels[self.channel]


class Answer(Conversation):
    """One answer of the backend, on its way to a client."""

    _asked: Deferred[Any] | None = None

    def wait(self, asked: Deferred[Any]) -> Downstream | None:
        """
        Send what *asked* gives.

        :returns: for what the client sends meanwhile; ``None`` if it is there.
        """
        self._asked = asked
        self.session.owed += 1
        asked.addCallbacks(self._answered, self._failed)
        return None if self.is_over else self.downstream

    def discard(self) -> None:
        # A client that only sends no more may still read (session.end).
        if not self.session.ending and not self.is_over:
            super().discard()
            if self._asked is not None:
                self._asked.cancel()

    def _answered(self, outcome: Any) -> None:
        try:
            self.upstream.value(*self.encode(outcome))
        except (ValueError, TypeError, OverflowError) as error:
            log.failure("an answer of the unicorn cannot be sent")
            self.upstream.error(error)
        self._over()

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        assert error is not None
        if not isinstance(error, CocainedError | CancelledError):
            log.failure("an operation of the unicorn broke", failure)
        self.upstream.error(error)
        self._over()

    def _over(self) -> None:
        self.end()
        self.session.paid()


@implementer(IUnicornObserver)
class Feed(Conversation):
    """
    States of something, on their way to a client.

    While the client does not read, only the last state is kept for it.
    """

    _scope: IScope | None = None
    _latest: list[Any] | None = None

    def follow(self, scope: IScope) -> Downstream:
        """
        Send what is observed.

        :param scope: closed when nobody wants it any more.
        :returns: for what the client sends meanwhile.
        """
        self._scope = scope
        return self.downstream

    def observed(self, state: Any) -> None:
        values = self.encode(state)
        if self.session.congested:
            self._latest = values
            self.session.hold(self)
        else:
            self.upstream.write(*values)

    def failed(self, error: UnicornError) -> None:
        self.release()
        self.upstream.error(error)
        self._let_go()

    def discard(self) -> None:
        super().discard()
        self._let_go()
        if self._scope is not None:
            self._scope.close()

    def _let_go(self) -> None:
        self.end()
        self._latest = None
        self.session.let_go(self)

    # Source

    def halt(self) -> None:
        """There is nothing to stop: states replace each other."""

    def release(self) -> None:
        """The client reads again."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self.upstream.write(*latest)
