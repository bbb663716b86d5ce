# -*- test-case-name: cocained.test.test_tools_startup -*-
"""Tests of :mod:`cocained.tools.startup`, through ``app start`` and ``restart``."""

from __future__ import annotations

import errno
import io
import sys
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import RemoteError, SpoolError
from cocained.rpc.codec import Pairs
from cocained.test.memory_terminal import Terminal, use_terminal
from cocained.test.tool_case import LOCATOR, ToolCase
from cocained.tools.apps import start_app
from cocained.tools.cli import main
from cocained.tools.client import Client, Settings
from cocained.tools.running import perform
from cocained.tools.startup import INTERVAL, PATIENCE, POLL_TIMEOUT, Stage

PULLING = {
    "state": "spooling",
    "progress": {"text": "pulling team/hello: 45 %", "percent": 45},
}


class StageTests(SynchronousTestCase):
    """From an answer of ``info`` to what is shown."""

    def progress(self, *fields: tuple[bytes, Any]) -> Stage:
        """The stage of a report whose progress has these fields."""
        return Stage.from_report(Pairs([(b"progress", Pairs(fields))]))

    def test_whole(self) -> None:
        """Text and percent are taken as they come from the wire."""
        stage = self.progress((b"text", b"pulling"), (b"percent", 45))
        self.assertEqual(stage, Stage("pulling", 45))

    def test_text_alone(self) -> None:
        """A step may not know how far it is."""
        self.assertEqual(self.progress((b"text", b"unpacking")), Stage("unpacking"))

    def test_nothing(self) -> None:
        """Reports of other nodes say nothing of it, and may be anything."""
        reports: list[Any] = [None, b"spooling", 5, [], {}, {b"progress": b"much"}]
        for report in reports:
            self.assertEqual(Stage.from_report(report), Stage(), report)
        self.assertEqual(self.progress((b"text", b"\xff")), Stage())

    def test_odd_percents(self) -> None:
        """A share that is none is left out, one beyond the ends is at the end."""
        odd: dict[Any, int | None] = {
            b"45": None,
            True: None,
            float("nan"): None,
            float("inf"): None,
            -3: 0,
            10**30: 100,
            45.7: 45,
        }
        for percent, expected in odd.items():
            stage = self.progress((b"text", b"x"), (b"percent", percent))
            self.assertEqual(stage.percent, expected, percent)


class StartCase(ToolCase):
    """Starts an app on a node that takes its time."""

    def setUp(self) -> None:
        super().setUp()
        use_terminal(self)
        self.store("manifests", "echo", {"slave": "x"}, "app")
        self.store("profiles", "default", {}, "profile")
        self.spooling: Deferred[None] = Deferred()
        self.node.spooling = self.spooling
        self.printed = io.StringIO()
        self.patch(sys, "stdout", self.printed)
        self.use(True)

    def use(self, terminal: bool) -> None:
        """Let standard error be a terminal, or not."""
        self.terminal = Terminal(terminal)
        self.patch(sys, "stderr", self.terminal)

    def start(
        self, as_json: bool = False, timeout: float | None = None
    ) -> Deferred[int]:
        """Begin a start; fires with the exit status."""

        async def start(client: Client) -> None:
            await start_app(client, "echo", "default")
            client.output.done("started")

        reactor: Any = self.network
        settings = Settings(*LOCATOR, timeout=20, as_json=as_json)
        begun = perform(reactor, start, settings, timeout, self.surroundings())
        self.network.flush()
        return begun

    def finish(self) -> None:
        """Let the node end the start."""
        self.spooling.callback(None)
        self.network.flush()

    @property
    def polls(self) -> int:
        """How often the node was asked."""
        return sum(entry[0] == "info" for entry in self.node.log)


class WatchTests(StartCase):
    """What people see meanwhile."""

    def test_quick(self) -> None:
        """A quick start shows nothing, and asks the node nothing."""
        starting = self.start()
        self.network.pass_time(PATIENCE * 0.9)
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual(self.terminal.written, b"")
        self.assertEqual(self.polls, 0)

    def test_slow(self) -> None:
        """A slow one shows what the node does, how far it is, for how long."""
        self.start()
        self.node.apps["echo"] = PULLING
        self.network.pass_time(PATIENCE)
        self.network.pass_time(INTERVAL)
        (line,) = self.terminal.screen
        self.assertTrue(line.startswith("Starting echo: pulling team/hello ━"), line)
        self.assertTrue(line.endswith(" 45 % 0:00:00"), line)
        self.assertEqual(self.printed.getvalue(), "")
        self.finish()

    def test_goes_on(self) -> None:
        """What is shown is what the node said last."""
        self.start()
        self.node.apps["echo"] = PULLING
        self.network.pass_time(PATIENCE)
        self.node.apps["echo"] = {"progress": {"text": "unpacking", "percent": 7}}
        self.network.pass_time(INTERVAL)
        (line,) = self.terminal.screen
        self.assertIn("unpacking", line)
        self.assertIn(" 7 % ", line)
        self.assertNotIn("pulling", line)
        self.finish()

    def test_silent_node(self) -> None:
        """A node that does not say how far it is leaves the name and the time."""
        self.start()
        self.network.pass_time(PATIENCE)
        for _ in range(4):
            self.network.pass_time(INTERVAL)
        self.assertEqual(self.terminal.screen, ["Starting echo 0:00:02"])
        self.finish()

    def test_vanishes(self) -> None:
        """When the app runs the line is gone, and the node is asked no more."""
        starting = self.start()
        self.network.pass_time(PATIENCE)
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual(self.printed.getvalue(), "started\n")
        self.assertEqual(self.terminal.screen, [])
        self.assertTrue(self.terminal.has_cursor)
        self.assertEqual(self.polls, 1)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """When it fails the error stands alone."""
        starting = self.start()
        self.network.pass_time(PATIENCE)
        self.spooling.errback(SpoolError("no such image"))
        self.network.flush()
        self.assertEqual(self.successResultOf(starting), 128)
        (line,) = self.terminal.screen
        self.assertIn("no such image", line)

    def test_interrupted(self) -> None:
        """Ctrl-C ends it at once, with the line gone and the cursor back."""
        starting = self.start()
        self.network.pass_time(PATIENCE)
        starting.cancel()
        self.network.flush()
        self.failureResultOf(starting, CancelledError)
        self.assertEqual(self.terminal.screen, [])
        self.assertTrue(self.terminal.has_cursor)
        self.assertTrue(all(near.lost for near, _ in self.network.links))
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_time_limit(self) -> None:
        """A command that takes too long says so, and nothing else."""
        starting = self.start(timeout=3)
        for _ in range(6):
            self.network.pass_time(0.5)
        self.assertEqual(self.successResultOf(starting), 128)
        self.assertIn("longer than 3 s", self.terminal.screen[0])
        self.assertNotIn("Starting", "\n".join(self.terminal.screen))

    def test_no_terminal(self) -> None:
        """In a pipe nothing is shown, and nothing asked."""
        self.use(False)
        starting = self.start()
        self.network.pass_time(10)
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual((self.terminal.written, self.polls), (b"", 0))

    def test_json(self) -> None:
        """Nor is for scripts, whose terminal has nothing but the document."""
        starting = self.start(as_json=True)
        self.network.pass_time(10)
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual((self.terminal.written, self.polls), (b"", 0))


class CommandTests(StartCase):
    """The commands that start apps."""

    def run_command(self, *args: str) -> None:
        """Run a command that must end well, on a node that needs some seconds."""
        self.network.callLater(0.2, self.node.apps.update, {"echo": PULLING})
        self.network.callLater(3, self.spooling.callback, None)
        with self.assertRaises(SystemExit) as ended:
            main(args, self.perform, [self.config])
        self.assertEqual(ended.exception.code, 0)

    def test_start(self) -> None:
        """A start is shown, and then what came of it."""
        self.run_command("app", "start", "-n", "echo", "-r", "default")
        self.assertIn(b"Starting echo: pulling team/hello", self.terminal.written)
        self.assertEqual(self.terminal.screen, [])
        self.assertIn("has been started", self.printed.getvalue())

    def test_restart(self) -> None:
        """So is a restart."""
        self.run_command("app", "restart", "-n", "echo", "-r", "default")
        self.assertIn(b"Starting echo: pulling team/hello", self.terminal.written)
        self.assertEqual(self.terminal.screen, [])
        self.assertIn("has been restarted", self.printed.getvalue())


class PollTests(StartCase):
    """Questions that go wrong change nothing."""

    def ask(self, answer: Any) -> Deferred[int]:
        """Begin a start during which ``info`` answers so."""
        starting = self.start()
        self.node.apps["echo"] = answer
        self.network.pass_time(PATIENCE)
        return starting

    def end(self, starting: Deferred[int]) -> None:
        """End it, which must end well and leave nothing."""
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual(self.terminal.screen, [])

    def test_unknown(self) -> None:
        """A node that does not know the app yet is asked again."""
        starting = self.start()
        del self.node.apps["echo"]
        self.network.pass_time(PATIENCE)
        self.assertEqual(self.terminal.screen, ["Starting echo 0:00:00"])
        self.node.apps["echo"] = PULLING
        self.network.pass_time(INTERVAL)
        self.assertIn("pulling", self.terminal.screen[0])
        self.end(starting)

    def test_broken_pipe(self) -> None:
        """An error that makes us leave the connection does not end the start."""
        answer: Deferred[None] = Deferred()
        starting = self.ask(answer)
        answer.errback(RemoteError(1, errno.EPIPE, "Broken pipe"))
        self.network.pass_time(INTERVAL)
        self.end(starting)

    def test_no_answer(self) -> None:
        """A question without an answer does not hold up the start."""
        starting = self.ask(Deferred())
        self.end(starting)
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_late_answer(self) -> None:
        """A question is given up after a while, and its answer left unread."""
        answer: Deferred[Any] = Deferred()
        starting = self.ask(answer)
        self.network.pass_time(POLL_TIMEOUT)
        self.node.apps["echo"] = PULLING
        self.network.pass_time(INTERVAL)
        answer.callback({"progress": {"text": "long ago"}})
        self.network.flush()
        self.assertIn("pulling", self.terminal.screen[0])
        self.end(starting)

    def test_no_method(self) -> None:
        """A node that has no ``info`` starts apps all the same."""
        endpoints, version, graph = self.locator.services["node"]
        less = {n: entry for n, entry in graph.items() if entry[0] != "info"}
        self.locator.services["node"] = (endpoints, version, less)
        starting = self.ask(PULLING)
        self.assertEqual(self.terminal.screen, ["Starting echo 0:00:00"])
        self.end(starting)

    def test_node_lost(self) -> None:
        """A node that goes away is told once, and not sought again."""
        starting = self.ask(PULLING)
        attempts = len(self.network.attempts)
        self.network.cut()
        self.network.pass_time(10)
        self.assertEqual(self.successResultOf(starting), 128)
        self.assertEqual(len(self.network.attempts), attempts)

    def test_terminal_lost(self) -> None:
        """A terminal that takes nothing any more does not end the start."""

        class Broken(Terminal):
            def write(self, text: str) -> int:
                raise OSError(errno.EIO, "the terminal is gone")

        self.patch(sys, "stderr", Broken(True))
        starting = self.start()
        self.network.pass_time(PATIENCE)
        self.finish()
        self.assertEqual(self.successResultOf(starting), 0)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
