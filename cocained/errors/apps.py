# -*- test-case-name: cocained.test.test_errors -*-
"""
What befalls apps, their workers and their events.
"""

from __future__ import annotations

import errno

from cocained.errors.base import CocainedError
from cocained.errors.codes import Category, NodeCode, OverseerCode


class IsolateError(CocainedError):
    """An isolate could not do its work."""


class SpoolError(IsolateError):
    """
    The app's code could not be prepared.

    :param reason: what happened and what to do about it.
    :param code: an ``errno`` value that fits best.
    """

    def __init__(self, reason: str, code: int = errno.EINVAL) -> None:
        super().__init__(reason)
        self.code = code


class DoorError(SpoolError):
    """A directory of UNIX sockets cannot be opened."""


class SpawnError(IsolateError):
    """
    A worker could not be started.

    :param reason: what happened and what to do about it.
    :param code: an ``errno`` value that fits best.
    """

    def __init__(self, reason: str, code: int = errno.EINVAL) -> None:
        super().__init__(reason)
        self.code = code


class AppError(CocainedError):
    """An app cannot serve what was asked of it."""

    category: int = Category.NODE


class AppExists(AppError):
    """``start_app`` for an app that is already there."""

    code = NodeCode.ALREADY_STARTED


class AppNotRunning(AppError):
    """The app is not on this node."""

    code = NodeCode.NOT_RUNNING


class AppStopped(AppError):
    """
    The app went away while its clients still had connections.

    Proxies know this very pair and resolve again (tools.md §4.5).
    """

    category = Category.GENERIC
    code = errno.EPIPE

    def __init__(
        self, reason: str = "the application has been stopped: Broken pipe"
    ) -> None:
        super().__init__(reason)


class BacklogFull(AppError):
    """No room for one more waiting event."""

    category = Category.OVERSEER
    code = OverseerCode.QUEUE_IS_FULL

    def __init__(self, reason: str = "queue is full") -> None:
        super().__init__(reason)


class DeadlineExceeded(AppError):
    """The event waited in the queue longer than its deadline."""

    code = NodeCode.DEADLINE

    def __init__(self, reason: str = "the event has expired in the queue") -> None:
        super().__init__(reason)


class RequestTimeout(AppError):
    """The worker did not finish the event in time."""

    code = NodeCode.TIMEOUT

    def __init__(self, reason: str = "slave has been discarded") -> None:
        super().__init__(reason)


class WorkerLost(AppError):
    """
    The worker that had the event is gone.

    :param category: category of what ended it (protocol.md §7.1).
    :param code: code within it.
    """

    def __init__(self, category: int, code: int) -> None:
        super().__init__("slave has been discarded")
        self.category = category
        self.code = code
