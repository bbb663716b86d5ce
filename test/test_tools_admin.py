# -*- test-case-name: cocained.test.test_tools_admin -*-
"""Tests of :mod:`cocained.tools.admin`, through the command line."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import NotDrained
from cocained.rpc.arguments import anything, optional
from cocained.rpc.dispatch import Protocol
from cocained.rpc.graph import DISCARDABLE
from cocained.rpc.headers import Header
from cocained.rpc.session import Session
from cocained.rpc.streams import Upstream
from cocained.test.memory_terminal import Terminal, use_terminal
from cocained.test.tool_case import LOCATOR, ToolCase
from cocained.tools.admin import step
from cocained.tools.cli import main
from cocained.tools.client import Client, Settings
from cocained.tools.running import perform


def progress(state: str, requests: int, apps: int = 0, settling: float = 0) -> Any:
    """What a node says of its drain."""
    return {
        "state": state,
        "requests": requests,
        "apps": apps,
        "seconds": 1.5,
        "settling": settling,
    }


class MemoryAdmin:
    """A node that is as a test says, and drains as it says."""

    protocol = Protocol(version=1)

    def __init__(self) -> None:
        self.report: Any = {"state": "serving", "components": {}, "problems": []}
        self.timeouts: list[Any] = []
        self.resumed = 0
        #: told at once, and then the stream ends if :attr:`ends`
        self.steps: list[Any] = [progress("drained", 0)]
        self.ends = True
        self.error: Exception | None = None
        self.upstream: Upstream | None = None

    @protocol.method(0)
    def status(self) -> Any:
        return self.report

    @protocol.stream(1, optional(anything, None), dispatch=DISCARDABLE)
    def drain(
        self, session: Session, channel: int, headers: list[Header], timeout: Any
    ) -> None:
        self.timeouts.append(timeout)
        self.upstream = Upstream(session, channel, headers)
        for told in self.steps:
            self.upstream.write(told)
        if self.error is not None:
            self.upstream.error(self.error)
        elif self.ends:
            self.upstream.close()

    @protocol.method(2)
    def resume(self) -> None:
        self.resumed += 1


class AdminCase(ToolCase):
    """The tool and a node that offers ``admin``."""

    def setUp(self) -> None:
        super().setUp()
        self.admin = MemoryAdmin()
        self.serve("admin", self.admin, 3004)


class StatusTests(AdminCase):
    """How the node is."""

    def test_report(self) -> None:
        """The report is shown as JSON."""
        shown = self.succeed("node", "status").json

        self.assertEqual(shown, self.admin.report)

    def test_problems(self) -> None:
        """A node that is troubled is shown all the same; the exit status tells."""
        self.admin.report["problems"] = ["storages.core: the disk is full"]

        result = self.tool("node", "status")

        self.assertEqual(result.status, 3)
        self.assertEqual(result.json, self.admin.report)

    def test_no_map(self) -> None:
        """A report that is none is an error."""
        self.admin.report = 7

        self.assertIn("in a map", self.refuse(128, "node", "status"))


class NotOfferedTests(ToolCase):
    """A node without the service."""

    def test_remedy(self) -> None:
        """The error has the lines that the configuration needs."""
        for command in ("status", "drain", "resume"):
            errors = self.refuse(128, "node", command)

            self.assertIn("offers no service 'admin'", errors)
            self.assertIn("services:\n  admin:\n    type: admin\n", errors)

    def test_json(self) -> None:
        """So it is for scripts."""
        result = self.tool("node", "status", "--json")

        self.assertIn("type: admin", result.json["error"]["hint"])


class DrainTests(AdminCase):
    """To let the node rest."""

    def test_drained(self) -> None:
        """When it is over, one hears what can be done now."""
        result = self.succeed("node", "drain")

        self.assertIn("The node is drained.", result.text)
        self.assertIn("node resume", result.text)
        self.assertEqual(self.admin.timeouts, [None])

    def test_json(self) -> None:
        """Scripts get the last that the node said."""
        result = self.succeed("node", "drain", "--json")

        self.assertEqual(result.json, progress("drained", 0))
        self.assertEqual(result.errors, "")

    def test_time(self) -> None:
        """Requests can be given a time."""
        self.succeed("node", "drain", "--drain", "7.5")

        self.assertEqual(self.admin.timeouts, [7.5])

    def test_bad_time(self) -> None:
        """What is no time is wrong usage."""
        for value in ("-1", "x", "86401"):
            self.assertIn("--drain", self.refuse(2, "node", "drain", "--drain", value))

    def test_too_slow(self) -> None:
        """A drain that does not end is an error, in the node's words."""
        self.admin.error = NotDrained("3 requests are still running")

        errors = self.refuse(128, "node", "drain")

        self.assertIn("3 requests are still running", errors)
        self.assertIn(f"[12, {errno.ETIMEDOUT}]", errors)

    def test_silent(self) -> None:
        """A node that says nothing for too long is given up."""
        self.admin.ends = False

        errors = self.refuse(128, "node", "drain", "--timeout", "3")

        self.assertIn("took longer than 3 s", errors)

    def test_nonsense(self) -> None:
        """Progress that is none is an error."""
        self.admin.steps = [7]

        self.assertIn("in a map", self.refuse(128, "node", "drain"))

    def test_logs(self) -> None:
        """In a pipe each phase is one line."""
        self.admin.steps = [
            progress("draining", 9, 2, 4.0),
            progress("draining", 9, 2, 3.5),
            progress("draining", 9, 2),
            progress("draining", 4, 1),
            progress("drained", 0),
        ]

        errors = self.succeed("node", "drain").errors

        self.assertEqual(
            errors,
            "Draining: serves for another 4 s, 9 requests left, 2 apps at work\n"
            "Draining: 9 requests left, 2 apps at work\n",
        )


class WatchTests(AdminCase):
    """What people see on a terminal."""

    def setUp(self) -> None:
        super().setUp()
        use_terminal(self)
        self.terminal = Terminal(True)
        self.patch(sys, "stderr", self.terminal)
        self.patch(sys, "stdout", io.StringIO())

    def drain(self) -> Deferred[int]:
        from cocained.tools.admin import follow

        async def drain(client: Client) -> None:
            async with await client.stream("admin", "drain") as stream:
                await follow(client, stream)

        reactor: Any = self.network
        settings = Settings(*LOCATOR, timeout=20)
        begun = perform(reactor, drain, settings, None, self.surroundings())
        self.network.flush()
        return begun

    def test_bar(self) -> None:
        """A line tells what is left, with a bar of what has been done since."""
        self.admin.ends = False
        self.admin.steps = [progress("draining", 8, 2), progress("draining", 2, 1)]

        draining = self.drain()

        (line,) = self.terminal.screen
        self.assertTrue(line.startswith("Draining: 2 requests left, 1 apps at"), line)
        self.assertIn(" 75 %", line)
        assert self.admin.upstream is not None
        self.admin.upstream.close()
        self.network.flush()
        self.assertEqual(self.successResultOf(draining), 0)
        self.assertEqual(self.terminal.screen, [])


class StepTests(SynchronousTestCase):
    """From what the node says to what is shown."""

    def test_settling(self) -> None:
        """While it serves, the time tells; how much is done is not known."""
        text, percent = step(progress("draining", 3, 1, 4.6), 3, 3)

        self.assertEqual(
            text, "serves for another 5 s, 3 requests left, 1 apps at work"
        )
        self.assertIsNone(percent)

    def test_share(self) -> None:
        """Afterwards it is the share of the most requests that there were."""
        for requests, most, percent in (
            (4, 4, 0),
            (1, 4, 75),
            (0, 4, 100),
            (0, 0, None),
        ):
            self.assertEqual(step(progress("draining", 0), requests, most)[1], percent)

    def test_odd_numbers(self) -> None:
        """What is no number counts as none."""
        values: list[Any] = [None, "9", float("nan"), float("inf"), 1e300, [], True]
        for odd in values:
            text, _ = step({"apps": odd, "settling": odd}, 0, 0)

            self.assertEqual(text, "0 requests left, 0 apps at work", odd)


class ResumeTests(AdminCase):
    """To let it serve again."""

    def test_resume(self) -> None:
        """One line says that it does."""
        self.assertEqual(self.succeed("node", "resume").text, "The node serves\n")
        self.assertEqual(self.admin.resumed, 1)

    def test_json(self) -> None:
        """Scripts get its state."""
        result = self.succeed("node", "resume", "--json")

        self.assertEqual(result.json, {"state": "serving"})


class ClusterTests(AdminCase):
    """What the list of nodes is worth."""

    def discover(self, discovery: Any) -> None:
        self.admin.report["components"] = {"services.locator": {"discovery": discovery}}

    def test_well(self) -> None:
        """While discovery works, nothing is said."""
        self.discover({"type": "zookeeper"})

        self.assertEqual(self.succeed("cluster").errors, "")

    def test_troubled(self) -> None:
        """When it does not, the list comes with a warning and a status of its own."""
        self.discover({"type": "zookeeper", "problem": "nobody answers at z:2181"})

        for options in ((), ("--json",)):
            result = self.tool("cluster", *options)

            self.assertEqual((result.status, result.json), (3, {}))
            self.assertIn(
                "nodes may be missing here, or be gone: nobody answers at z:2181",
                result.errors,
            )

    def test_info(self) -> None:
        """Who looks at the apps is told, too, and with that nothing is wrong."""
        self.discover({"type": "zookeeper", "problem": "nobody answers at z:2181"})

        result = self.succeed("info", "-b")

        self.assertIn("be gone: nobody answers at z:2181", result.errors)

    def test_not_reported(self) -> None:
        """Reports without discovery say nothing of it, whatever they hold."""
        locators: list[Any] = [{}, 7]
        for components in (*({"services.locator": one} for one in locators), {}, None):
            self.admin.report["components"] = components

            self.assertEqual(self.succeed("cluster").errors, "")

    def test_broken(self) -> None:
        """A node that cannot say how it is still shows its list, with a warning."""
        self.admin.report = 7

        result = self.tool("cluster", "--json")

        self.assertEqual((result.status, result.json), (3, {}))
        self.assertIn("cannot be told", result.errors)


class HelpTests(SynchronousTestCase):
    """What the command line says of itself."""

    def test_statuses(self) -> None:
        """The exit status of troubled nodes is told."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)

        ended = self.assertRaises(SystemExit, main, ["--help"], None, [])

        self.assertEqual(ended.code, 0)
        self.assertIn(
            "3 done but the node is troubled", " ".join(out.getvalue().split())
        )
