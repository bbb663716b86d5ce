# -*- test-case-name: cocained.test.test_tools_running -*-
"""Tests of :mod:`cocained.tools.running`: the reactor's part."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.error import ReactorNotRunning

from cocained.test.memory_network import MemoryNetwork
from cocained.test.tool_case import LOCATOR, ToolCase
from cocained.tools import running
from cocained.tools.client import Client, Settings
from cocained.tools.failures import ToolError
from cocained.tools.running import run_reactor


class RunnableNetwork(MemoryNetwork):
    """A network that can be run and stopped, as a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.running = False
        self.stops = 0
        self._begin: list[Callable[[], Any]] = []
        self._triggers: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        #: seconds after which a signal stops it
        self.interrupted_after: float | None = None

    def callWhenRunning(self, function: Callable[[], Any]) -> None:  # noqa: N802
        self._begin.append(function)

    def addSystemEventTrigger(  # noqa: N802
        self, phase: str, event: str, function: Callable[..., Any], *args: Any
    ) -> None:
        assert (phase, event) == ("before", "shutdown")
        self._triggers.append((function, args))

    def stop(self) -> None:
        if not self.running:
            raise ReactorNotRunning("not running")
        self.running = False
        self.stops += 1

    def run(self) -> None:
        self.running = True
        for function in self._begin:
            function()
        while self.running:
            self.flush()
            if self.running:
                self.pass_time(1)
            if self.seconds() == self.interrupted_after and self.running:
                self.stop()
        ended = [maybeDeferred(function, *args) for function, args in self._triggers]
        over: list[Any] = []
        gatherResults(ended, consumeErrors=True).addBoth(over.append)
        while not over:
            self.pass_time(1)


class ReactorTests(ToolCase):
    """From an action to an exit status."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = RunnableNetwork()
        self.reactor.listeners = self.network.listeners
        # Logging begins once in a process, and trial has begun it.
        self.patch(running, "start_logging", lambda verbose: None)

    def run_action(self, action: Any, timeout: float | None = None) -> int:
        """Run an action on the reactor."""
        reactor: Any = self.reactor
        return run_reactor(reactor, action, Settings(*LOCATOR, timeout=20), timeout)

    def test_status(self) -> None:
        """An action that ends well is a status of 0, and the reactor stops once."""

        async def action(client: Client) -> None:
            await client.call("echo", "info")

        self.assertEqual(self.run_action(action), 0)
        self.assertEqual(self.reactor.stops, 1)

    def test_at_once(self) -> None:
        """An action that has nothing to wait for ends as well."""

        async def action(client: Client) -> None:
            """Do nothing."""

        self.assertEqual(self.run_action(action), 0)

    def test_interrupted(self) -> None:
        """A signal aborts the action, which may clean up before sockets go."""
        cleaned = []

        async def action(client: Client) -> None:
            try:
                await client.call("echo", "hang")
            finally:
                await client.breathe()
                cleaned.append(True)

        self.reactor.interrupted_after = 3
        self.assertRaises(click.Abort, self.run_action, action)
        self.assertEqual(cleaned, [True])
        self.assertTrue(all(near.lost for near, _ in self.reactor.links))

    def test_reader_gone(self) -> None:
        """That nobody reads the output is for the caller to deal with."""

        async def action(client: Client) -> None:
            raise BrokenPipeError

        self.assertRaises(BrokenPipeError, self.run_action, action)

    def test_user_gave_up(self) -> None:
        """A prompt or an editor that the user aborts is an abort."""

        async def action(client: Client) -> None:
            raise click.Abort

        self.assertRaises(click.Abort, self.run_action, action)

    def test_editor(self) -> None:
        """The editor is the user's own; without saving there is no text."""
        self.patch(os, "environ", {**os.environ, "VISUAL": "true"})
        self.assertIsNone(running.edit("{}"))

    def test_editor_fails(self) -> None:
        """An editor that fails, or is not there, is told with the remedy."""
        for editor in ("false", "/no/such/editor"):
            self.patch(os, "environ", {**os.environ, "VISUAL": editor})
            error = self.assertRaises(ToolError, running.edit, "{}")
            self.assertIn(editor, error.message)
            self.assertIn("$VISUAL", error.hint)

    def test_editor_saves(self) -> None:
        """What it saves is the text."""
        script = self.mktemp()
        with open(script, "w") as file:
            file.write(
                '#!/bin/sh\nsleep 0\nprintf "[1]" > "$1"\ntouch -d 2040-01-01 "$1"\n'
            )
        editor = f"sh {script}"
        self.patch(os, "environ", {**os.environ, "VISUAL": editor})
        self.assertEqual(running.edit("{}"), "[1]")
