# -*- test-case-name: cocained.test.test_simulation -*-
"""
Which errors may end a request, and when (protocol.md §2.2 and §7.1).

Each cause is a condition on what is known of the request: an error that comes
without its cause is a broken promise as much as no answer is.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import NamedTuple

from cocained.apps.burdens import PATIENCE
from cocained.errors import (
    ASIO_EOF,
    AppStopped,
    Category,
    DeadlineExceeded,
    DispatchCode,
    NodeCode,
    RequestTimeout,
    TransportCode,
    WireError,
    to_wire,
)
from cocained.test.simulation.promises import Request


class Circumstances(NamedTuple):
    """
    How things stood when the error was said.

    :param now: seconds of the clock.
    :param stopped: whether the engine had been told to stop.
    :param down: when the connection of a worker has ended, if it has.
    :param behind: whether the engine keeps back what it has for a worker; then
        it is not known who has which event.
    """

    now: float
    stopped: bool
    down: Mapping[str, float]
    behind: bool


#: Words for what a client hears when its worker is gone.
DISCARDED = RequestTimeout().reason

#: What may end the connection of a worker (protocol.md §7.1).
LOSSES: Mapping[tuple[int, int], str] = {
    (Category.ASIO_MISC, ASIO_EOF): "worker lost: end of file",
    (Category.ASIO_SYSTEM, errno.ECANCELED): "worker lost: ended by the node",
    (Category.ASIO_SYSTEM, errno.ECONNRESET): "worker lost: reset",
    **{
        (Category.TRANSPORT, code): "worker lost: it sent no frames"
        for code in TransportCode
    },
}

#: What a foul costs.
PENALTIES: Mapping[tuple[int, int], str] = {
    (Category.DISPATCH, DispatchCode.INVALID_ARGUMENT): "a chunk of no string",
    (Category.DISPATCH, DispatchCode.SLOT_NOT_FOUND): "an unknown message",
}

#: What a client that reads nothing costs itself while others wait.
STUCK = WireError(
    Category.NODE,
    NodeCode.RESOURCE,
    f"nothing was read for {PATIENCE:g} s while others waited for the worker",
)

_STOPPED = to_wire(AppStopped())
_EXPIRED = to_wire(DeadlineExceeded())
_TIMED_OUT = to_wire(RequestTimeout())


def cause(
    request: Request, error: WireError, circumstances: Circumstances
) -> str | None:
    """
    Name the cause of an error.

    :returns: a word for the totals; ``None`` if nothing justifies this error.
    """
    if request.accepted is None:
        return _refused(request, error)
    if request.has_said and error == request.said_end:
        return "error of the worker"
    if error in (_EXPIRED, _TIMED_OUT):
        return _too_late(request, error, circumstances)
    pair = error.category, error.code
    if error == _STOPPED:
        fits = circumstances.stopped and request.worker is None
        return "the app was stopped" if fits else None
    if pair in LOSSES and error.reason == DISCARDED:
        return LOSSES[pair] if _is_lost(request, circumstances) else None
    if error == STUCK:
        # Whether others waited at that moment, nobody outside can tell.
        has_worker = request.worker is not None or circumstances.behind
        return "the client did not read" if has_worker else None
    if pair in PENALTIES and request.fouls:
        fouls = " or ".join(sorted(foul.value for foul in request.fouls))
        return f"foul of {fouls}: {PENALTIES[pair]}"
    return None


def _refused(request: Request, error: WireError) -> str | None:
    if request.refusal is not None:
        return f"refused: {error.reason}" if error == request.refusal else None
    if (error.category, error.code) == (Category.NODE, NodeCode.RESOURCE):
        return "refused: too many channels"
    # Bad headers are found before the engine sees the request.
    return f"refused: {error.reason}" if request.flawed else None


def _is_lost(request: Request, circumstances: Circumstances) -> bool:
    down = circumstances.down
    if request.worker is not None:
        return request.worker in down
    # It was given to a worker that went before anything could be written to it.
    return circumstances.now in down.values()


def _too_late(
    request: Request, error: WireError, circumstances: Circumstances
) -> str | None:
    if circumstances.now < request.deadline:
        return None
    if error == _EXPIRED:
        return "deadline, in the queue" if request.worker is None else None
    has_worker = request.worker is not None or circumstances.behind
    return "deadline, at a worker" if has_worker else None
