# -*- test-case-name: cocained.test.test_ledger -*-
"""
Who asked what, and how it ended: the promise of ``docs/guarantees.rst``, checked.

Each request has a token of its own, which its answer has to repeat.  A ledger
hears of each request once when it is sent, and of everything that comes for it
afterwards; :meth:`Ledger.problems` says where the promise was broken.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

#: Seconds that an answer may come after its deadline: what a busy machine of
#: two cores needs to wake the node, and the client after it.
LATENESS = 3.0

#: Problems of one kind that are told one by one.
TOLD = 5


class Ending(Enum):
    """What ends a request."""

    REPLY = "reply"
    ERROR = "error"
    DEADLINE = "deadline"


class Cause(NamedTuple):
    """
    An error that ends a request.

    :param text: for the table.
    :param ending: whether that is an ordinary error or the deadline.
    """

    text: str
    ending: Ending = Ending.ERROR


#: What is on record for a connection that ended before the answer came.
LOST = (0, 0)

#: The causes that ``docs/guarantees.rst`` lists, each with its pair; the unit
#: tests hold the two against each other.
CAUSES: Mapping[tuple[int, int], Cause] = MappingProxyType(
    {
        LOST: Cause("connection lost"),
        (5, 2): Cause("worker lost: it is gone"),
        (2, 104): Cause("worker lost: it is gone, with bytes unread"),
        (2, 125): Cause("worker lost: ended by the node"),
        (6, 1): Cause("worker lost: it sent no frames"),
        (6, 2): Cause("worker lost: it sent wrong headers"),
        (6, 3): Cause("worker lost: it sent half a frame"),
        (6, 4): Cause("worker lost: it sent no msgpack"),
        (7, 2): Cause("broken stream: wrong arguments"),
        (7, 5): Cause("broken stream: unknown message"),
        (12, 32): Cause("application stopped"),
        (20991, 1): Cause("deadline in the queue", Ending.DEADLINE),
        (20991, 2): Cause("too much at one time"),
        (20991, 3): Cause("deadline at a worker", Ending.DEADLINE),
        (21247, 1): Cause("queue is full"),
    }
)

#: The category of errors that workers give of their own.
WORKER_CATEGORY = 42


class Entry:
    """One request, as the ledger has it."""

    __slots__ = ("cause", "chunks", "due", "ended", "ending", "opened")

    def __init__(self, opened: float, due: float | None) -> None:
        self.opened = opened
        self.due = due
        self.ended: float | None = None
        self.ending: Ending | None = None
        self.cause: tuple[int, int] | None = None
        self.chunks: list[bytes] = []


class Ledger:
    """
    The record of one run.

    :param clock: gives seconds.
    :param lateness: seconds by which an ending may miss its deadline.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, lateness: float = LATENESS
    ) -> None:
        self._clock = clock
        self._lateness = lateness
        self._faults: Counter[str] = Counter()
        self._told: list[str] = []
        self.entries: dict[bytes, Entry] = {}
        #: requests that have not ended
        self.open_count = 0

    # What happens

    def opened(self, token: bytes, timeout: float | None = None) -> None:
        """
        A request is sent.

        :param token: of this request and of no other.
        :param timeout: seconds after which its deadline ends it, if it has one.
        """
        if token in self.entries:
            raise ValueError(f"the token {token!r} has been used before")
        now = self._clock()
        self.entries[token] = Entry(now, None if timeout is None else now + timeout)
        self.open_count += 1

    def chunk(self, token: bytes, data: bytes) -> None:
        """A part of the answer has come."""
        entry = self._entry(token)
        if entry is None:
            return
        if entry.ended is not None:
            self._fault("answered after its end", token, f"by {data[:40]!r}")
        elif data != token:
            self._fault("got another's answer", token, f"that of {data[:40]!r}")
        else:
            entry.chunks.append(data)

    def replied(self, token: bytes) -> None:
        """The answer is complete."""
        entry = self._entry(token)
        if entry is None:
            return
        if entry.ended is None and entry.chunks != [token]:
            self._fault("got half an answer", token, f"{len(entry.chunks)} chunks")
        self._end(token, entry, Ending.REPLY, None)

    def failed(self, token: bytes, category: int, code: int) -> None:
        """The answer is an error."""
        entry = self._entry(token)
        if entry is None:
            return
        pair = (category, code)
        cause = CAUSES.get(pair)
        if cause is None and category == WORKER_CATEGORY:
            cause = Cause("the worker's own")
        if cause is None:
            self._fault("ended for no documented cause", token, str(list(pair)))
        ending = Ending.ERROR if cause is None else cause.ending
        if ending is Ending.DEADLINE and entry.ended is None:
            self._check_due(token, entry)
        self._end(token, entry, ending, pair)

    def lost(self, token: bytes) -> None:
        """The client's connection has ended, and no answer can come."""
        entry = self._entry(token)
        if entry is not None:
            self._end(token, entry, Ending.ERROR, LOST)

    def stray(self, what: str) -> None:
        """Something came that belongs to no request."""
        self._fault("came for nobody", b"", what)

    def _entry(self, token: bytes) -> Entry | None:
        entry = self.entries.get(token)
        if entry is None:
            self.stray(f"{token!r}, which nobody asked")
        return entry

    def _check_due(self, token: bytes, entry: Entry) -> None:
        if entry.due is None:
            self._fault("expired without a deadline", token, "")
        elif self._clock() < entry.due:
            self._fault("expired too early", token, "")

    def _end(
        self,
        token: bytes,
        entry: Entry,
        ending: Ending,
        cause: tuple[int, int] | None,
    ) -> None:
        if entry.ending is not None:
            self._fault(
                "ended twice", token, f"{entry.ending.value}, then {ending.value}"
            )
            return
        entry.ended = self._clock()
        entry.ending = ending
        entry.cause = cause
        self.open_count -= 1
        if entry.due is not None and entry.ended > entry.due + self._lateness:
            late = entry.ended - entry.due
            self._fault("ended long after its deadline", token, f"{late:.2f} s")

    def _fault(self, kind: str, token: bytes, detail: str) -> None:
        self._faults[kind] += 1
        if self._faults[kind] <= TOLD:
            self._told.append(f"{token.decode('latin-1')} {kind}: {detail}".strip())

    # What is said about it

    def count(self, ending: Ending, cause: tuple[int, int] | None = None) -> int:
        """Say how many requests ended so, for one cause or for all."""
        return sum(
            entry.ending is ending and cause in (None, entry.cause)
            for entry in self.entries.values()
        )

    @property
    def share(self) -> float:
        """Replies among all requests, 0…1."""
        return self.count(Ending.REPLY) / len(self.entries) if self.entries else 0.0

    @property
    def longest(self) -> float:
        """Seconds that the slowest of the ended requests took."""
        waits = [e.ended - e.opened for e in self.entries.values() if e.ended]
        return max(waits, default=0.0)

    def longest_gap(self) -> float:
        """Seconds of the longest time in which nobody got a reply."""
        times = sorted(
            entry.ended
            for entry in self.entries.values()
            if entry.ended and entry.ending is Ending.REPLY
        )
        return max((b - a for a, b in pairwise(times)), default=0.0)

    def problems(self) -> list[str]:
        """
        Say where the promise was broken, a sentence each.

        To be asked when the run is over: what has not ended by then is lost.
        """
        left = [token for token, entry in self.entries.items() if entry.ended is None]
        found = [*self._told]
        found += [
            f"{kind}: {count} in all"
            for kind, count in self._faults.items()
            if count > TOLD
        ]
        found += [f"{token.decode('latin-1')} never ended" for token in left[:TOLD]]
        if len(left) > TOLD:
            found.append(f"never ended: {len(left)} in all")
        return found

    def _errors(self) -> Counter[tuple[int, int]]:
        return Counter(e.cause for e in self.entries.values() if e.cause is not None)

    def table(self, title: str) -> str:
        """Sum up the run, a line for each kind of ending."""
        rows = [
            ("requests", len(self.entries)),
            ("replies", self.count(Ending.REPLY)),
            ("deadlines", self.count(Ending.DEADLINE)),
            ("errors", self.count(Ending.ERROR)),
        ]
        for pair, count in sorted(self._errors().items()):
            cause = CAUSES.get(pair)
            text = "the worker's own" if cause is None else cause.text
            rows.append((f"  {list(pair)} {text}", count))
        width = max(len(label) for label, _ in rows)
        lines = [f"{label:{width}}  {count:8}" for label, count in rows]
        lines.append(f"{'longest wait':{width}}  {self.longest:8.3f} s")
        lines.append(f"{'longest gap':{width}}  {self.longest_gap():8.3f} s")
        return "\n".join([title, *lines])
