# -*- test-case-name: cocained.test.test_examples_cluster -*-
"""
What clients saw, second by second; pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

#: What stands where there is nothing.
NOTHING = "-"


class Request(NamedTuple):
    """
    How one request ended.

    :param ended: seconds since the clients began.
    :param took: milliseconds.
    :param host: address of the node that answered; empty if none did.
    :param cause: why there was no answer; empty if there was.
    """

    ended: float
    took: float
    host: str
    cause: str


class Second:
    """The requests that ended in one second."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.hosts: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()

    def add(self, request: Request) -> None:
        """Put down a request."""
        self.waits.append(request.took)
        if request.cause:
            self.causes[request.cause] += 1
        else:
            self.hosts[request.host] += 1

    @property
    def answered(self) -> int:
        """How many had an answer."""
        return self.hosts.total()

    @property
    def failed(self) -> int:
        """How many had none."""
        return self.causes.total()

    def record(self, names: Mapping[str, str]) -> dict[str, Any]:
        """
        Give it for programs.

        :param names: of the nodes, by their address.
        """
        return {
            "requests": len(self.waits),
            "answered": self.answered,
            "failed": self.failed,
            "causes": dict(self.causes),
            "p50_ms": quantile(self.waits, 0.5),
            "p99_ms": quantile(self.waits, 0.99),
            "nodes": {name: self.hosts[host] for host, name in names.items()},
        }


class Table:
    """
    All seconds.

    :param names: of the nodes, by their address.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._seconds: list[Second] = []
        #: what happened, by the second
        self.events: dict[int, list[str]] = {}

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, request: Request) -> None:
        """Put down a request."""
        while len(self._seconds) <= request.ended:
            self._seconds.append(Second())
        self._seconds[int(request.ended)].add(request)

    def happened(self, time: float, what: str) -> None:
        """Put down that something happened."""
        self.events.setdefault(int(time), []).append(what)

    def header(self) -> str:
        """Give the line above all others."""
        words = ["second", "requests", "answered", "failed", "p50", "p99"]
        return _row([*words, *self._names.values()], "")

    def row(self, number: int) -> str:
        """Give the line of one second, counted from 0."""
        second = self._second(number)
        p50, p99 = quantile(second.waits, 0.5), quantile(second.waits, 0.99)
        cells = [str(number + 1), str(len(second.waits)), str(second.answered)]
        cells += [str(second.failed), _milliseconds(p50), _milliseconds(p99)]
        cells += [str(second.hosts[host]) for host in self._names]
        causes = [f"{count} of {cause}" for cause, count in second.causes.items()]
        return _row(cells, "; ".join([*self.events.get(number, []), *causes]))

    def _second(self, number: int) -> Second:
        return self._seconds[number] if number < len(self._seconds) else Second()

    def sum(self) -> dict[str, int]:
        """Count requests of all seconds, by how they ended."""
        answered = sum(second.answered for second in self._seconds)
        failed = sum(second.failed for second in self._seconds)
        return {
            "requests": answered + failed,
            "answered": answered,
            "failed": failed,
        }

    def record(self) -> list[dict[str, Any]]:
        """Give all seconds for programs."""
        return [
            {**second.record(self._names), "events": self.events.get(number, [])}
            for number, second in enumerate(self._seconds)
        ]


def quantile(values: Sequence[float], share: float) -> float | None:
    """Give the value below which that share of all is; ``None`` of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _milliseconds(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1f} ms"


def _row(cells: Sequence[str], text: str) -> str:
    return f"{''.join(f'{cell:>10}' for cell in cells)}  {text}".rstrip()
