# -*- test-case-name: cocained.test.test_unicorns -*-
"""
What a backend gives to the recipes: nodes of bytes, versions, one-shot watches.

The operations are those of ZooKeeper; whatever has them can be a backend.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cocained.errors import UnicornError

T = TypeVar("T")


class Change(Enum):
    """What a watch has seen."""

    CREATED = "created"
    WRITTEN = "written"
    DELETED = "deleted"
    CHILDREN = "children"


class Stat(NamedTuple):
    """
    What is known of a node besides its bytes.

    :param version: how often its bytes were written since it was made.
    :param children_version: how often children came and went.
    :param children: how many there are.
    """

    version: int
    children_version: int
    children: int


class Watch:
    """
    One look-out for the next change of one thing or of several.

    Whoever makes it waits for it, or cancels it.
    """

    def __init__(self) -> None:
        self._over = False
        self._armed: list[Callable[[], object]] = []
        self._fired: Deferred[Change | UnicornError] = Deferred()

    def armed(self, disarm: Callable[[], object]) -> None:
        """
        Say that a keeper looks out.

        :param disarm: called once when that is not needed any more, perhaps at
            once.
        """
        if self._over:
            disarm()
        else:
            self._armed.append(disarm)

    def fire(self, outcome: Change | UnicornError) -> None:
        """
        Something has changed; only the first time counts.

        :param outcome: what, or why nobody can tell any more.
        """
        if not self._over:
            self.cancel()
            self._fired.callback(outcome)

    def cancel(self) -> None:
        """Want to know no more."""
        self._over = True
        armed, self._armed = self._armed, []
        for disarm in armed:
            disarm()

    async def happened(self) -> Change:
        """
        Wait for the change.

        :raises UnicornError: nobody can tell any more.
        """
        try:
            outcome = await self._fired
        finally:
            self.cancel()
        if isinstance(outcome, UnicornError):
            raise outcome
        return outcome


def shielded(
    inner: Deferred[T], undo: Callable[[T], object] | None = None
) -> Deferred[T]:
    """
    Let an operation take place whether or not somebody still wants its answer.

    :param undo: called with an answer that nobody wants any more.
    """
    unwanted: list[bool] = []

    def done(result: T) -> None:
        if not unwanted:
            answer.callback(result)
        elif undo is not None:
            undo(result)

    def failed(failure: Failure) -> None:
        if not unwanted:
            answer.errback(failure)

    answer: Deferred[T] = Deferred(lambda answer: unwanted.append(True))
    inner.addCallbacks(done, failed)
    return answer


class Keeper(Protocol):
    """
    A tree of nodes.  Deferreds fail with ``UnicornError`` only.

    Operations of one caller take effect in the order in which they were asked.
    A watch may fire before the answer of the operation that armed it, and once
    too often; it never misses a change.  One of an operation that fails is for
    its owner to cancel.
    """

    def read(self, path: str) -> Deferred[tuple[bytes, Stat]]:
        """Give a node's bytes; ``NoNode``."""

    def look(self, path: str, watch: Watch | None = None) -> Deferred[Stat | None]:
        """Say whether there is a node; watch its life and its bytes."""

    def names(
        self, path: str, watch: Watch | None = None
    ) -> Deferred[tuple[list[str], Stat]]:
        """Give the names of a node's children and watch those; ``NoNode``."""

    def create(
        self, path: str, data: bytes, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        """
        Make a node and give its path; ``NoNode`` if nothing is above it.

        An ephemeral one of which the answer is given up is deleted again.
        """

    def write(self, path: str, data: bytes, version: int) -> Deferred[Stat]:
        """Replace a node's bytes; ``NoNode``, ``VersionNotAllowed``."""

    def delete(self, path: str, version: int) -> Deferred[None]:
        """Delete a node without children."""

    def release(self, path: str) -> None:
        """Delete an ephemeral node of ours, however long it takes to get through."""
