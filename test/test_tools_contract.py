# -*- test-case-name: cocained.test.test_tools_contract -*-
"""What holds for every command there is."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cocained.test.memory_network import RawFactory, reply
from cocained.test.tool_case import LOCATOR, ToolCase
from cocained.tools.cli import COMMANDS, root

#: What each option and argument is given, for commands to get past their checks.
VALUES = {
    "name": "x",
    "copyname": "y",
    "profile": "{}",
    "runlist": "{}",
    "content": '{"a": 1}',
    "app": "a",
    "weight": "1",
    "timestamp": "5",
    "service": "x",
    "method": "m",
}

#: Commands whose option of that name is not a document.
NAMES_OF_PROFILES = (("app", "start"), ("app", "restart"), ("runlist", "add-app"))


def all_commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    context = click.Context(root)
    for name in COMMANDS:
        command = root.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for word, each in command.commands.items():
                yield (name, word), each
        elif name != "version":
            yield (name,), command


class ContractTests(ToolCase):
    """Every command, called with what it needs."""

    def lines(self) -> Iterator[tuple[str, ...]]:
        """A command line for each command."""
        for words, command in all_commands():
            line = list(words)
            if words == ("app", "upload"):
                line.append(self.folder(manifest_json=b'{"slave": "x"}'))
            else:
                for param in command.params:
                    value = VALUES.get(param.name or "")
                    if value is None:
                        continue
                    if param.name == "profile" and words in NAMES_OF_PROFILES:
                        value = "p"
                    if isinstance(param, click.Argument):
                        line.append(value)
                    elif isinstance(param, click.Option) and not param.is_flag:
                        line += [param.opts[-1], value]
            yield tuple(line)

    def check(self, line: tuple[str, ...], words: str) -> None:
        """Run a command twice; both ways it must fail, and say *words*."""
        result = self.tool(*line)
        self.assertEqual((result.status, result.output), (128, b""), (line, result))
        self.assertIn(words, result.errors, line)
        result = self.tool(*line, "--json")
        self.assertEqual((result.status, result.errors), (128, ""), (line, result))
        error = result.json["error"]
        self.assertIn(words, error["message"], line)
        self.assertEqual(error["status"], 128, line)

    def test_there_are_commands(self) -> None:
        """The loop below does run."""
        self.assertGreater(len(list(self.lines())), 40)

    def test_no_node(self) -> None:
        """Without a node each says where it looked; for scripts in one document."""
        del self.network.listeners[LOCATOR]
        for line in self.lines():
            if "--help" not in line:
                self.check(line, "cannot reach the locator at 127.0.0.1:10053")

    def test_silent_node(self) -> None:
        """With a node that says nothing each ends in time."""
        self.network.listeners[LOCATOR] = RawFactory(lambda frame: b"")
        for line in self.lines():
            self.check((*line, "--timeout", "2"), "longer than 2 s")

    def test_refusing_node(self) -> None:
        """With a node that refuses everything each says what it was told."""
        self.network.listeners[LOCATOR] = RawFactory(
            lambda frame: reply(frame[0], 1, [1, 13], "Permission denied")
        )
        for line in self.lines():
            self.check(line, "Permission denied [1, 13]")

    def test_talking_nonsense(self) -> None:
        """With a server that is no node each ends."""
        self.network.listeners[LOCATOR] = RawFactory(lambda frame: b"\xc1")
        for line in self.lines():
            self.check(line, "no msgpack")
