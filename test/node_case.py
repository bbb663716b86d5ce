# -*- test-case-name: cocained.test.test_node -*-
"""
A whole node of components that write down what is done to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cocained.component import Component
from cocained.config import loads
from cocained.errors import (
    CocainedError,
    ConfigError,
    StorageError,
)
from cocained.interfaces import (
    ILogger,
    INode,
    IRemoteService,
    IReporter,
    IStorage,
)
from cocained.node import Node
from cocained.repository import Entry, Repository
from cocained.rpc.dispatch import Protocol
from cocained.test.service_case import LogCase, PortReactor

How = Literal["", "error", "bug", "wait"]


class StepArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of each step."""

    start: How = ""
    stop: How = ""
    drain: How = ""
    needs: str = ""


class Recording(Component[StepArgs]):
    """Writes its steps into ``reactor.journal``."""

    Args = StepArgs

    def __init__(self, node: INode, name: str, args: StepArgs) -> None:
        super().__init__(node, name, args)
        self.reactor = cast("JournalReactor", node.reactor)
        self.reactor.built.append(self)
        if args.needs:
            category, _, wanted = args.needs.partition(":")
            if category == "storage":
                node.storage(wanted)
            else:
                node.component(category, "step", f"{name}:inner", {"sart": wanted})

    def start(self) -> Deferred[None] | None:
        return self._step("start", self.args.start)

    def stop(self) -> Deferred[None] | None:
        return self._step("stop", self.args.stop)

    def drain(self) -> Deferred[None] | None:
        return self._step("drain", self.args.drain)

    def _step(self, verb: str, how: How) -> Deferred[None] | None:
        step = f"{verb} {self.name}"
        self.reactor.journal.append(step)
        if how == "error":
            raise CocainedError(f"cannot {step}")
        if how == "bug":
            raise ZeroDivisionError(step)
        if how == "wait":
            self.reactor.waiting[step] = Deferred(
                lambda _: self.reactor.journal.append(f"cancel {step}")
            )
            return self.reactor.waiting[step]
        return None


@implementer(ILogger)
class StepLogger(Recording):
    """A logger that keeps its events."""

    def __init__(self, node: INode, name: str, args: StepArgs) -> None:
        super().__init__(node, name, args)
        self.events: list[Mapping[str, Any]] = []

    def __call__(self, event: Mapping[str, Any]) -> None:
        self.events.append(event)

    def reopen(self) -> None:
        self._step("reopen", "")


@implementer(IStorage, IReporter)
class StepStorage(Recording):
    """A storage without objects; it never ends a write."""

    def report(self) -> Mapping[str, Any]:
        return {"problem": "full"}

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        raise StorageError(2, "nothing here")

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        return Deferred()

    def remove(self, collection: str, key: str) -> Deferred[None]:
        raise StorageError(2, "nothing here")

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        raise StorageError(2, "nothing here")


@implementer(IRemoteService)
class StepService(Recording):
    """A service without methods."""

    protocol = Protocol(version=1)


@implementer(IRemoteService)
class SlowService(Recording):
    """A service that answers when the test does."""

    protocol = Protocol(version=1)

    @protocol.method(0)
    def ask(self) -> Deferred[None]:
        self.reactor.waiting["ask"] = Deferred()
        return self.reactor.waiting["ask"]


class JournalReactor(PortReactor):
    """Keeps what components write, and the steps that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.journal: list[str] = []
        self.waiting: dict[str, Deferred[None]] = {}
        self.built: list[Any] = []

    def listenTCP(  # noqa: N802 - Twisted's name
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> Any:
        listening = super().listenTCP(port, factory, backlog, interface)
        self.journal.append("listen")
        return listening


_HERE = "cocained.test.node_case"

ENTRIES = [
    Entry("logger", "step", f"{_HERE}.StepLogger"),
    Entry("storage", "step", f"{_HERE}.StepStorage"),
    Entry("service", "step", f"{_HERE}.StepService"),
    Entry("service", "slow", f"{_HERE}.SlowService"),
]

STEP = "{type: step}"


class NodeCase(LogCase):
    def setUp(self) -> None:
        self.reactor = JournalReactor()
        self.failures: list[Failure] = []
        self.runtime = os.path.abspath(self.mktemp())

    def text(
        self,
        services: Mapping[str, str] | None = None,
        storages: Mapping[str, str] | None = None,
        more: str = "",
    ) -> str:
        """Write a configuration; values are YAML of one line each."""
        lines = [
            "paths:",
            f"  runtime: {self.runtime}",
            "network: {endpoint: 127.0.0.1}",
            "logging: {loggers: [{type: step}, {type: step}]}",
            "storages:",
        ]
        storages = {"core": STEP} if storages is None else storages
        services = {"a": STEP} if services is None else services
        lines += [f"  {name}: {value}" for name, value in storages.items()]
        lines += ["services:"]
        lines += [f"  {name}: {value}" for name, value in services.items()]
        return "\n".join([*lines, more, ""])

    def build(self, text: str | None = None) -> Node:
        return Node(
            cast(Any, self.reactor),
            loads(text or self.text(), "node.yaml"),
            Repository(ENTRIES),
            self.failures.append,
        )

    def start(self, text: str | None = None) -> Node:
        node = self.build(text)
        node.startService()
        return node

    def refuse(self, text: str) -> str:
        """Build what cannot be built; give what is said."""
        return str(self.assertRaises(ConfigError, self.build, text))

    def take_journal(self) -> list[str]:
        journal, self.reactor.journal = self.reactor.journal, []
        return journal
