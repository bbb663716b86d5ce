# -*- test-case-name: cocained.test.test_rpc_pressure -*-
"""
What a session does while its peer does not read (decision 0007).

A peer whose transport is full is *congested*.  Whoever feeds it then is
*held*: not read and not dispatched, until the transport has drained.  Small
amounts are forgiven, so that one stopped reader does not stop all those that
have a word for it.
"""

from __future__ import annotations

from typing import Final

from cocained.rpc.roles import Link, Source

#: Bytes that each source may send to a congested peer before it is held: the
#: usual answer passes, a stream does not.
ALLOWANCE: Final = 65536

#: What each message counts for besides its bytes: empty ones take memory, too.
MESSAGE_OVERHEAD: Final = 64


class Pressure:
    """
    The part of a session that keeps memory flat.

    :param link: the connection.
    """

    __slots__ = ("_held", "_link", "_pressed", "congested", "pauses")

    def __init__(self, link: Link) -> None:
        self._link: Link | None = link
        #: whether the peer reads slower than we write
        self.congested = False
        #: how often something stopped this session; a peer that still reads,
        #: however slowly, is congested anew for each part that it is given
        self.pauses = 0
        self._held: dict[Source, None] = {}
        self._pressed: dict[Source, int] = {}

    @property
    def connected(self) -> bool:
        """Whether there still is a connection to write to."""
        return self._link is not None

    @property
    def progress(self) -> tuple[int, int]:
        """Something that changes as long as the peer takes what it is sent."""
        link = self._link
        return self.pauses, link.untaken() if link is not None else 0

    def congest(self) -> None:
        """The transport's buffer is full."""
        self.congested = True
        self.pauses += 1

    def drained(self) -> None:
        """The transport's buffer is empty again, or gone."""
        self.congested = False
        self._pressed.clear()
        held, self._held = self._held, {}
        for source in held:
            source.release()

    def press(self, source: Source, size: int) -> None:
        """
        Count what *source* sent although we are congested, and hold it if that
        is more than its allowance.

        :param size: bytes.
        """
        pressed = self._pressed.get(source, 0) + size + MESSAGE_OVERHEAD
        self._pressed[source] = pressed
        if pressed > ALLOWANCE:
            self.hold(source)

    def hold(self, source: Source) -> None:
        """Stop *source* until our output has drained."""
        if source not in self._held:
            self._held[source] = None
            source.halt()

    def holds(self, source: Source) -> bool:
        """Say whether *source* is held by this session."""
        return source in self._held

    def let_go(self, source: Source) -> None:
        """Hold *source* no longer; one that is not held is no error."""
        if source in self._held:
            del self._held[source]
            self._pressed.pop(source, None)
            source.release()
