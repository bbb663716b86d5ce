# -*- test-case-name: cocained.test.test_apps_worker -*-
"""
Who stands around an event and around a worker, and what they ask of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from cocained.apps.dialect import Dialect
from cocained.errors import CocainedError
from cocained.rpc.session import Session

if TYPE_CHECKING:
    from cocained.apps.invocation import Invocation
    from cocained.apps.worker import Worker


class WorkerLink(Protocol):
    """What an event needs of the worker that has it."""

    @property
    def session(self) -> Session:
        """The worker's connection."""

    @property
    def dialect(self) -> Dialect:
        """How it is spoken to."""

    def finished(self, invocation: Invocation) -> None:
        """The event needs the worker no more."""

    def burdened(self, client: Session | None = None) -> None:
        """Its connection is stuck: by *client*, or because it does not read."""


class Origin(Protocol):
    """Who accepted the event, and lets it wait for a worker."""

    def withdrawn(self, invocation: Invocation) -> None:
        """The event has ended without a worker."""


class Timeouts(Protocol):
    """The part of a profile that a worker looks at, all in seconds."""

    @property
    def spawn_timeout(self) -> float: ...

    @property
    def handshake_timeout(self) -> float: ...

    @property
    def heartbeat_timeout(self) -> float: ...

    @property
    def seal_timeout(self) -> float: ...

    @property
    def terminate_timeout(self) -> float: ...

    @property
    def crashlog_limit(self) -> int: ...


class Owner(Protocol):
    """The overseer, as its workers see it."""

    def worker_active(self, worker: Worker) -> None:
        """The worker takes events from now on."""

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        """The worker has one event less."""

    def worker_burdened(self, worker: Worker, client: Session | None) -> None:
        """The worker's connection is stuck; *client* does not read, if given."""

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        """The worker works no more; *error* is why, if that was abnormal."""

    def worker_buried(self, worker: Worker) -> None:
        """Nothing is left of the worker."""

    def worker_output(self, worker: Worker, lines: list[bytes]) -> None:
        """The worker printed whole lines."""


class Launch(Protocol):
    """What a worker is started with."""

    @property
    def executable(self) -> str: ...

    @property
    def environment(self) -> Mapping[str, str]: ...

    def arguments(self, uuid: str) -> dict[str, str]:
        """The command line, as pairs; raises :class:`IsolateError`."""


class Speech(Protocol):
    """How one worker is spoken to: worker protocol 0 or 1."""

    ready: bool
    dialect: Dialect

    def terminate(self, code: int, reason: str) -> None:
        """Ask the worker to end."""
