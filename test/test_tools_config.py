# -*- test-case-name: cocained.test.test_tools_config -*-
"""Tests of :mod:`cocained.tools.config`."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from cocained.tools import config
from cocained.tools.config import Config, default_paths, load_config
from cocained.tools.failures import BadValue


class ConfigTests(SynchronousTestCase):
    """The files that name the node."""

    def write(self, text: str) -> str:
        """Write a file."""
        path: str = self.mktemp()
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_none(self) -> None:
        """Without files the node is on this machine."""
        self.assertEqual(load_config(["/nonexistent"]), Config("localhost", 10053))

    def test_one(self) -> None:
        """A file names host and port."""
        path = self.write("locator:\n  host: node1\n  port: 10054\n")
        self.assertEqual(load_config([path]), Config("node1", 10054))

    def test_merged(self) -> None:
        """The second file replaces what it names, and nothing else."""
        first = self.write("locator: {host: a, port: 1}")
        second = self.write("locator: {host: b}")
        self.assertEqual(load_config([first, second]), Config("b", 1))

    def test_empty(self) -> None:
        """An empty file, and an empty section, are skipped."""
        first = self.write("locator: {host: a}")
        paths = [first, self.write(""), self.write("locator:")]
        self.assertEqual(load_config(paths).host, "a")

    def test_secure(self) -> None:
        """Signed requests are noticed."""
        path = self.write("secure: {mod: TVM, client_id: 1, client_secret: x}")
        self.assertTrue(load_config([path]).secure)

    def test_mistakes(self) -> None:
        """Each mistake is refused with the file and the place."""
        for text, words in {
            "locator: {port: 70000}": "locator.port must be 0 to 65535",
            "locator: {port: '1'}": "locator.port must be a whole number",
            "locator: {port: true}": "locator.port must be a whole number",
            "locator: {host: 5}": "locator.host must be text",
            "locator: {hots: a}": "unknown key locator.hots",
            "locator: a": "locator is no map",
            "lokator: {}": "unknown section 'lokator'",
            "[]": "expected a map",
            "a: [": "is no YAML",
            "\x00": "is no YAML",
        }.items():
            path = self.write(text)
            with self.assertRaises(BadValue, msg=text) as caught:
                load_config([path])
            self.assertIn(words, caught.exception.message)
            self.assertIn(path, caught.exception.message)

    def test_too_large(self) -> None:
        """A file that cannot be meant is refused."""
        path = self.write("#" * (config.FILE_LIMIT + 1))
        with self.assertRaisesRegex(BadValue, "larger than"):
            load_config([path])

    def test_folder(self) -> None:
        """What cannot be read is told."""
        path = self.mktemp()
        os.mkdir(path)
        with self.assertRaisesRegex(BadValue, "cannot be read"):
            load_config([path])

    def test_paths(self) -> None:
        """The machine's file comes before the user's."""
        machine, user = default_paths()
        self.assertEqual(machine, "/etc/cocaine/.cocaine/tools.yml")
        self.assertTrue(user.endswith("/.cocaine/tools.yml"))
