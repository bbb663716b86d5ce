# -*- test-case-name: cocained.test.test_services_node_rest -*-
"""
A node service that rests and goes on, what it reports, and how it ends.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from cocained.errors import SpoolError
from cocained.interfaces import IReporter, IResumable
from cocained.services.node import NodeArgs
from cocained.test.service_case import MemoryWorker
from cocained.test.test_services_node import NodeCase


class ResumeTests(NodeCase):
    """A node that serves again."""

    args = NodeArgs(runlist="boot")

    def drain(self) -> None:
        drained = self.service.drain()
        assert drained is not None
        self.successResultOf(drained)

    def resume(self) -> None:
        resumed = self.service.resume()
        assert resumed is not None
        self.successResultOf(resumed)

    def test_interfaces(self) -> None:
        """It can resume, and reports."""
        self.assertTrue(verifyObject(IResumable, self.service))
        self.assertTrue(verifyObject(IReporter, self.service))

    def test_apps(self) -> None:
        """Apps are offered again, and can be started again."""
        self.started("echo")
        self.drain()
        self.assertEqual(self.node.directory.endpoints("echo"), ())

        self.resume()

        self.assertEqual(len(self.node.directory.endpoints("echo")), 1)
        self.started("echo2")

    def test_runlist(self) -> None:
        """What the drain kept from being started with the node is started now."""
        self.store("runlists", "boot", {"echo": "default", "echo2": "default"})
        gate: Deferred[None] = Deferred()
        self.node.core.held["echo"] = gate
        self.service.start()
        self.drain()
        del self.node.core.held["echo"]
        gate.callback(None)
        self.assertEqual(self.list(), ["echo"])
        self.assertEqual(self.node.directory.endpoints("echo"), ())

        self.resume()

        self.assertEqual(self.list(), ["echo", "echo2"])
        self.assertEqual(len(self.node.directory.endpoints("echo")), 1)
        self.assertEqual(len(self.node.directory.endpoints("echo2")), 1)

    def test_came_up_meanwhile(self) -> None:
        """An app that was spooling takes no events while the node is at rest."""
        self.node.spooling = Deferred()
        self.open(0, "echo", "default")
        self.drain()

        self.node.spooling.callback(None)
        self.client.receive()

        self.assertEqual(self.info("echo")["state"], "running")
        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertEqual(self.ask(5, "echo", "late")[1][0], [12, 32])


class ReportTests(NodeCase):
    """What operators are told."""

    def test_quiet(self) -> None:
        """Apps without events are counted, and are not busy."""
        self.started("echo", "echo2")

        self.assertEqual(self.service.report(), {"apps": 2, "busy": 0, "requests": 0})

    def test_busy(self) -> None:
        """Events are counted, at work or not, and the apps that have any."""
        self.started("echo", "echo2")
        for _ in range(3):
            self.open(5, "echo", "event")

        self.assertEqual(self.service.report(), {"apps": 2, "busy": 1, "requests": 3})

    def test_broken(self) -> None:
        """Broken apps are a problem, with their names and the remedy."""
        self.node.spooling = SpoolError("no archive")
        self.start("echo2")
        self.start("echo")

        report = self.service.report()

        self.assertEqual(
            report["problem"],
            "broken apps: echo, echo2; their info says why, and what mends them is"
            " to start them again",
        )


class PausedTests(NodeCase):
    """Apps that end while the node does."""

    def test_stop_waits(self) -> None:
        """A node does not stop before the workers of paused apps have ended."""
        self.started("echo")
        client = self.connect(self.service)
        client.send([1, 5, ["echo", "echo"]])
        MemoryWorker(self.node, self.node.isolates[0])
        self.pass_time()
        self.pause("echo")

        stopped = self.service.stop()

        assert stopped is not None
        self.assertNoResult(stopped)
        self.pass_time(self.node.patience + 0.1)
        self.pass_time(2)
        self.successResultOf(stopped)
        self.assertTrue(self.node.isolates[0].stopped)
