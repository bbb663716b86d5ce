# -*- test-case-name: cocained.test.test_tools_cli -*-
"""Tests of :mod:`cocained.tools.cli` and :mod:`cocained.tools.options`."""

from __future__ import annotations

import os
import subprocess
import sys

import click

import cocained
from cocained.test.tool_case import Result, ToolCase
from cocained.tools.cli import COMMANDS, LazyGroup, root
from cocained.tools.client import Settings
from cocained.tools.options import Action

#: Where the package is imported from, for a process of its own.
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(cocained.__file__)))


class HelpTests(ToolCase):
    """Finding one's way."""

    def test_root(self) -> None:
        """The tool tells its commands and its exit statuses."""
        text = self.succeed("--help").text
        self.assertIn("runlist", text)
        self.assertIn("Exit status:", text)

    def test_every_command(self) -> None:
        """Every command and every subcommand has a help text of its own."""
        context = click.Context(root)
        for name in LazyGroup("x").list_commands(context):
            command = root.get_command(context, name)
            assert command is not None
            commands = [command]
            if isinstance(command, click.Group):
                commands += command.commands.values()
            for each in commands:
                self.assertTrue(each.help, f"{name} {each.name}")

    def test_common_options(self) -> None:
        """Every command that talks to a node takes the common options."""
        context = click.Context(root)
        flags = {"--host", "--port", "--timeout", "--json", "-v"}
        for name in COMMANDS:
            command = root.get_command(context, name)
            commands = (
                list(command.commands.values())
                if isinstance(command, click.Group)
                else [command]
            )
            for each in commands:
                assert each is not None
                given = {flag for param in each.params for flag in param.opts}
                wanted = {"--json"} if name == "version" else flags
                self.assertTrue(wanted <= given, f"{name} {each.name}: {given}")

    def test_lines_agree(self) -> None:
        """What the overview says of a command is what the command says."""
        context = click.Context(root)
        for name, (_, _, line) in COMMANDS.items():
            command = root.get_command(context, name)
            assert command is not None
            if name != "i":
                self.assertEqual(command.get_short_help_str(100), line)

    def test_light_start(self) -> None:
        """Help needs neither the reactor nor the network nor YAML."""
        code = (
            "import sys\n"
            "from cocained.tools.cli import main\n"
            "try: main(['--help'])\n"
            "except SystemExit: pass\n"
            "heavy = {'twisted.internet.reactor', 'twisted.internet.defer',"
            " 'rich', 'yaml'}\n"
            "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": CHECKOUT},
        )
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))


class UsageTests(ToolCase):
    """Wrong command lines."""

    def test_unknown_command(self) -> None:
        """An unknown command is wrong usage."""
        self.assertIn("No such command", self.refuse(2, "lsit"))

    def test_unknown_option(self) -> None:
        """So is an unknown option."""
        self.assertIn("--nmae", self.refuse(2, "app", "view", "--nmae", "x"))

    def test_bad_port(self) -> None:
        """So is a port that is none."""
        self.refuse(2, "app", "list", "--port", "70000")

    def test_bad_timeout(self) -> None:
        """So is a time that is none."""
        self.refuse(2, "app", "list", "--timeout", "0")

    def test_json(self) -> None:
        """For scripts wrong usage is a document too."""
        result = self.tool("app", "view", "--nmae", "x", "--json")
        self.assertEqual(result.status, 2)
        self.assertIn("--nmae", result.json["error"]["message"])
        self.assertEqual(result.errors, "")


class SettingsTests(ToolCase):
    """From command line and files to settings."""

    def setUp(self) -> None:
        super().setUp()
        self.seen: list[tuple[Settings, float | None]] = []

    def perform(self, action: Action, settings: Settings, timeout: float | None) -> int:
        """Keep the settings, run nothing."""
        self.seen.append((settings, timeout))
        return 0

    def settings(self, *args: str) -> Settings:
        """The settings of a command line."""
        self.succeed(*args)
        return self.seen[-1][0]

    def test_defaults(self) -> None:
        """The node is where the file says, and twenty seconds are enough."""
        settings = self.settings("app", "list")
        self.assertEqual(settings, Settings("127.0.0.1", 10053, 20.0))
        self.assertEqual(self.seen[0][1], 20.0)

    def test_command_line_wins(self) -> None:
        """The command line beats the file."""
        settings = self.settings("app", "list", "--host", "h", "--port", "5", "-vv")
        self.assertEqual(settings, Settings("h", 5, 20.0, verbose=2))

    def test_timeout(self) -> None:
        """A time that is given is for the calls and for the whole."""
        self.assertEqual(self.settings("app", "list", "--timeout", "1.5").timeout, 1.5)
        self.assertEqual(self.seen[0][1], 1.5)

    def test_upload_takes_longer(self) -> None:
        """An upload may take two minutes."""
        self.settings("app", "upload")
        self.assertEqual(self.seen[0][1], 120.0)
        self.assertEqual(self.seen[0][0].timeout, 120.0)

    def test_no_limit_for_people(self) -> None:
        """An editor has no limit of time, nor has a stream."""
        for args in (("profile", "edit"), ("call", "x"), ("info", "--timeout", "3")):
            self.settings(*args)
        self.assertEqual([whole for _, whole in self.seen], [None, None, None])
        self.assertEqual(self.seen[2][0].timeout, 3)

    def test_secure(self) -> None:
        """That requests are not signed is told."""
        with open(self.config, "w") as file:
            file.write("secure: {mod: TVM}")
        self.assertIn("unsigned", self.succeed("app", "list").errors)

    def test_broken_file(self) -> None:
        """A broken file is a bad value, for scripts too."""
        with open(self.config, "w") as file:
            file.write("locator: 5")
        self.assertIn("locator is no map", self.refuse(22, "app", "list"))
        result = self.tool("app", "list", "--json")
        self.assertIn("locator is no map", result.json["error"]["message"])


class AbortTests(ToolCase):
    """Interrupted runs."""

    error: BaseException

    def perform(self, action: Action, settings: Settings, timeout: float | None) -> int:
        """Be interrupted."""
        raise self.error

    def aborted(self, error: BaseException, *args: str) -> Result:
        """Interrupt a command."""
        self.error = error
        return self.tool("app", "list", *args)

    def test_abort(self) -> None:
        """Ctrl-C ends with 1 and a word."""
        for error in (click.Abort(), KeyboardInterrupt()):
            result = self.aborted(error)
            self.assertEqual((result.status, result.errors.strip()), (1, "Aborted!"))

    def test_abort_json(self) -> None:
        """For scripts it is a document."""
        result = self.aborted(click.Abort(), "--json")
        self.assertEqual(result.json, {"error": {"message": "aborted", "status": 1}})

    def test_reader_gone(self) -> None:
        """When nobody reads the output any more nothing more is said."""
        self.assertEqual(self.aborted(BrokenPipeError()).status, 1)
