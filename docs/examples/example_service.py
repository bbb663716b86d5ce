# -*- test-case-name: cocained.test.test_docs_examples -*-
"""A service of one's own: greets, and counts on a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import InvalidArgument
from cocained.interfaces import INode, IRemoteService
from cocained.rpc.arguments import Signature, text, unsigned
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import DISCARDABLE, STREAMING
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Downstream, Upstream

#: Seconds between two numbers of a count.
PACE = 1.0

#: Longest count that one may ask for: an hour.
COUNT_LIMIT = 3600


class GreetingArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the greeting service."""

    word: Annotated[str, msgspec.Meta(description="How people are greeted.")] = "Hello"


@implementer(IRemoteService)
class GreetingService(Component[GreetingArgs]):
    """Type ``greeting``."""

    Args = GreetingArgs
    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: GreetingArgs) -> None:
        super().__init__(node, name, args)
        self._counts: set[Count] = set()

    @protocol.method(0, text)
    def greet(self, who: str) -> str:
        """One answer: a value, a Deferred of one, or an exception."""
        if not who:
            raise InvalidArgument("whom shall I greet?")
        return f"{self.args.word}, {who}!"

    @protocol.stream(1, unsigned, dispatch=DISCARDABLE, upstream=STREAMING)
    def count(
        self, session: Session, channel: int, headers: list[Header], end: int
    ) -> Downstream:
        """A stream: as many numbers as were asked for, until it is discarded."""
        if end > COUNT_LIMIT:
            raise InvalidArgument(f"counts end at {COUNT_LIMIT}")
        count = Count(self.node, Upstream(session, channel, headers), end)
        self._counts.add(count)
        count.on_end = lambda: self._counts.discard(count)
        count.step()
        # What the client may say next, and who hears that it has gone.
        messages = {0: (Signature([]), count.stop)}
        return Downstream(session, channel, messages, count.stop)

    def stop(self) -> None:
        """Leave no timer behind when the node stops."""
        for count in list(self._counts):
            count.upstream.close()
            count.stop()


class Count:
    """One client's count."""

    def __init__(self, node: INode, upstream: Upstream, end: int) -> None:
        self.upstream = upstream
        self.on_end: Callable[[], object] = lambda: None
        self._clock = node.reactor
        self._turn = node.wiring.turn
        self._number = 0
        self._end = end
        self._call: IDelayedCall | None = None

    def step(self) -> None:
        """Say the next number, or the end."""
        self._call = None
        # What is said in one turn of the reactor leaves with one write.
        self._turn.begin()
        try:
            if self._number == self._end:
                self.upstream.close()
                self.on_end()
            else:
                self._number += 1
                self.upstream.write(self._number)
                self._call = self._clock.callLater(PACE, self.step)
        finally:
            self._turn.end()

    def stop(self) -> bool:
        """Say no more; true ends the client's half of the channel."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.on_end()
        return True
