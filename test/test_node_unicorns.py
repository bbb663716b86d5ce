# -*- test-case-name: cocained.test.test_node_unicorns -*-
"""The coordination backends of a node: built, started, given, stopped."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from zope.interface import implementer

from cocained.config import loads
from cocained.errors import ConfigError
from cocained.interfaces import INode, IRemoteService, IReporter, IUnicorn
from cocained.node import Node
from cocained.repository import Entry, Repository
from cocained.rpc.dispatch import Protocol
from cocained.test.node_case import ENTRIES, STEP, NodeCase, Recording, StepArgs
from cocained.unicorns.memory import MemoryUnicorn

_HERE = "cocained.test.test_node_unicorns"


@implementer(IUnicorn, IReporter)
class StepUnicorn(MemoryUnicorn):
    """A unicorn that writes its steps into the journal."""

    Args: Any = StepArgs

    def __init__(self, node: INode, name: str, args: StepArgs) -> None:
        super().__init__(node, name)
        self._recording = Recording(node, name, args)

    def start(self) -> Deferred[None] | None:
        return self._recording.start()

    def stop(self) -> None:
        self._recording.stop()

    def report(self) -> dict[str, Any]:
        return {"problem": "no server"}


@implementer(IRemoteService)
class FollowingService(Recording):
    """A service that needs a unicorn."""

    protocol = Protocol(version=1)

    def __init__(self, node: INode, name: str, args: StepArgs) -> None:
        super().__init__(node, name, args)
        self.unicorn = node.unicorn("core")


class NodeUnicornTests(NodeCase):
    """The section ``unicorns``."""

    def build(self, text: str | None = None) -> Node:
        entries = [
            Entry("unicorn", "step", f"{_HERE}.StepUnicorn"),
            Entry("service", "following", f"{_HERE}.FollowingService"),
        ]
        return Node(
            cast(Any, self.reactor),
            loads(text or self.text(), "node.yaml"),
            Repository([*ENTRIES, *entries]),
            self.failures.append,
        )

    def configured(self, name: str = "core", value: str = STEP) -> str:
        """A node with a service that needs the unicorn ``core``."""
        return self.text(
            {"a": "{type: following}"}, more=f"unicorns: {{{name}: {value}}}"
        )

    def test_given(self) -> None:
        """Who needs it is given the one that was configured."""
        node = self.build(self.configured())

        service = self.reactor.built[-1]

        self.assertIs(service.unicorn, node.unicorn("core"))
        self.assertIsInstance(service.unicorn, StepUnicorn)

    def test_order(self) -> None:
        """Behind the storages and before the services, and the other way round."""
        node = self.start(self.configured())
        self.assertEqual(
            self.take_journal()[2:], ["start core", "start core", "start a", "listen"]
        )

        self.successResultOf(node.stopService())

        stops = [step for step in self.take_journal() if step.startswith("stop")]
        self.assertEqual(stops[:3], ["stop a", "stop core", "stop core"])

    def test_none(self) -> None:
        """One that is needed and not there is named where it should be."""
        error = self.assertRaises(
            ConfigError, self.build, self.configured(name="other")
        )

        self.assertIn("unicorns.core: there is no unicorn 'core'", str(error))
        self.assertIn("add it", str(error))

    def test_unknown_type(self) -> None:
        """A type that does not exist is named with its line."""
        error = self.assertRaises(
            ConfigError, self.build, self.configured(value="{type: stpe}")
        )

        self.assertIn("did you mean 'step'?", str(error))

    def test_reported(self) -> None:
        """What is wrong with it is in the node's report."""
        node = self.build(self.configured())

        self.assertIn("unicorns.core: no server", node.report()["problems"])
