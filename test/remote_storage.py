# -*- test-case-name: cocained.test.test_storages_remote -*-
"""
A storage on a server that is in memory, and fails as a test wants.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import msgspec

from cocained.errors import StorageError
from cocained.storages.remote import RemoteStorage, Work
from cocained.testing.reactor import THREAD_TIMEOUT


class DriverError(Exception):
    """What the driver raises."""


class UnknownError(Exception):
    """What nobody thought of."""


class MemoryServer:
    """
    The server.

    :ivar refusal: raised by whoever wants to connect.
    :ivar faults: raised by the next calls, one each; ``None`` for a good one.
    :ivar opened: connections made so far.
    :ivar closed: connections closed so far.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.tags: dict[tuple[str, str], set[str]] = {}
        self.refusal: Exception | None = None
        self.faults: list[Exception | None] = []
        self.calls: list[str] = []
        self.opened = 0
        self.closed = 0
        self.writings = 0
        self.entered = threading.Semaphore(0)
        self.gate: threading.Event | None = None

    def hold(self) -> threading.Event:
        """Let calls hang until the event is set."""
        self.gate = threading.Event()
        return self.gate


class MemoryConnection:
    """One connection to it."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._interrupted = threading.Event()
        server.opened += 1

    def _enter(self, call: str) -> None:
        server = self._server
        server.calls.append(call)
        server.entered.release()
        gate = server.gate
        if gate is not None:
            while not gate.wait(0.01):
                if self._interrupted.is_set():
                    raise DriverError("cut")
        fault = server.faults.pop(0) if server.faults else None
        if fault is not None:
            raise fault

    def read(self, collection: str, key: str) -> bytes | None:
        self._enter(f"read {key}")
        return self._server.objects.get((collection, key), (None, ""))[0]

    def version(self, collection: str, key: str) -> str | None:
        self._enter(f"version {key}")
        return self._server.objects.get((collection, key), (b"", None))[1]

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        self._enter(f"write {key}")
        self._server.writings += 1
        version = str(self._server.writings)
        self._server.objects[collection, key] = (blob, version)
        self._server.tags.setdefault((collection, key), set()).update(tags)

    def remove(self, collection: str, key: str) -> None:
        self._enter(f"remove {key}")
        self._server.objects.pop((collection, key), None)
        self._server.tags.pop((collection, key), None)

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        self._enter("find")
        return [
            key
            for (where, key), has in sorted(self._server.tags.items())
            if where == collection and has.issuperset(tags)
        ]

    def ping(self) -> None:
        self._enter("ping")

    def close(self) -> None:
        self._server.closed += 1

    def interrupt(self) -> None:
        self._interrupted.set()


class MemoryRemoteArgs(msgspec.Struct, frozen=True):
    """No arguments."""


class MemoryRemoteStorage(RemoteStorage[MemoryRemoteArgs]):
    """
    A storage on that server.

    :param node: the node.
    :param server: the server.
    :param translations: what errors become.
    """

    engine = "memory"

    def __init__(
        self,
        node: Any,
        server: MemoryServer,
        translations: dict[str, StorageError] | None = None,
        **work: Any,
    ) -> None:
        values = {
            "threads": 2,
            "max_object": 100_000,
            "max_load": 1000,
            "timeout": THREAD_TIMEOUT,
            **work,
        }
        super().__init__(node, "core", MemoryRemoteArgs(), Work(**values))
        self.server = server
        self.translations = translations or {}

    def _connect(self) -> MemoryConnection:
        if self.server.refusal is not None:
            raise self.server.refusal
        return MemoryConnection(self.server)

    def _translate(self, error: Exception) -> StorageError | None:
        return self.translations.get(str(error))
