# -*- test-case-name: cocained.test.test_config -*-
"""
Whole files: from the disk to a node's configuration.
"""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.config import ComponentConfig, ConfigErrors, load, loads
from cocained.config.source import MAX_BYTES
from cocained.errors import ConfigError

EXAMPLE = """\
# A node of one's own.
version: 4
paths:
  runtime: run
  spool: /srv/spool
network:
  endpoint: 127.0.0.1
  hostname: node.example
  pinned: {locator: 10053}
  shared: [41000, 42000]
logging:
  severity: debug
  loggers:
    - type: console
    - type: file
      args: {path: node.log}
services:
  locator: {type: locator}
  storage:
    type: storage
    args: {backend: core}
storages:
  core: {type: files, args: {path: store}}
limits:
  frame: 1048576
  write-stall: 5
shutdown:
  drain: 2.5
"""


class _Files(SynchronousTestCase):
    def write(self, text: str | bytes, name: str = "node.yaml") -> str:
        """Write a file into a directory of its own; give its path."""
        directory = self.mktemp()
        os.makedirs(directory)
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path


class LoadTests(_Files):
    """Files of ours."""

    def test_every_section(self) -> None:
        """Each section of the example arrives in its struct."""
        path = self.write(EXAMPLE)

        config = load(path)

        base = os.path.dirname(os.path.abspath(path))
        self.assertEqual(config.base, base)
        self.assertEqual(config.paths.runtime, os.path.join(base, "run"))
        self.assertEqual(config.paths.spool, "/srv/spool")
        self.assertEqual(config.network.endpoint, "127.0.0.1")
        self.assertEqual(config.network.hostname, "node.example")
        self.assertEqual(config.network.pinned, {"locator": 10053})
        self.assertEqual(config.network.shared, (41000, 42000))
        self.assertEqual(config.logging.severity, "debug")
        self.assertEqual(
            config.logging.loggers,
            (
                ComponentConfig(type="console"),
                ComponentConfig(type="file", args={"path": "node.log"}),
            ),
        )
        self.assertEqual(config.services["locator"], ComponentConfig(type="locator"))
        self.assertEqual(config.services["storage"].args, {"backend": "core"})
        self.assertEqual(config.storages["core"].args, {"path": "store"})
        self.assertEqual(config.limits.frame, 1048576)
        self.assertEqual(config.limits.write_stall, 5.0)
        self.assertEqual(config.shutdown.drain, 2.5)
        self.assertEqual(config.notes, ())
        self.assertIsNone(config.uuid)

    def test_order_of_components_is_kept(self) -> None:
        """Services come in the order of the file."""
        config = loads("services: {b: {type: x}, a: {type: x}, c: {type: x}}")

        self.assertEqual(list(config.services), ["b", "a", "c"])

    def test_lines_stay_available(self) -> None:
        """Errors that are found later can still name their lines."""
        config = load(self.write(EXAMPLE))

        where = config.where.at("storages", "core", "args")

        self.assertEqual(where.line(("path",)), 23)
        self.assertEqual(where.error("r", ("path",)).path, "storages.core.args.path")

    def test_names_with_dots(self) -> None:
        """A name with a dot is one name."""
        config = loads("services:\n  my.app:\n    type: x\n    args: {a: 1}\n")

        self.assertEqual(config.services["my.app"].args, {"a": 1})
        self.assertEqual(config.where.at("services", "my.app", "args").line(("a",)), 4)

    def test_default_runtime_is_absolute(self) -> None:
        """Without a word about it the runtime directory is still known."""
        config = loads("services: {}")

        self.assertTrue(os.path.isabs(config.paths.runtime))

    def test_base_defaults_to_here(self) -> None:
        """Text that came from no file resolves against the current directory."""
        self.assertEqual(loads("services: {}").base, os.getcwd())

    def test_json_of_ours(self) -> None:
        """JSON needs no version to be read as ours."""
        config = loads('{"limits": {"connections": 16,}, // few\n}')

        self.assertEqual(config.limits.connections, 16)

    def test_file_through_a_link(self) -> None:
        """Relative paths start where the link is, as the operator named it."""
        target = self.write("paths: {spool: here}")
        directory = self.mktemp()
        os.makedirs(directory)
        link = os.path.join(directory, "node.yaml")
        os.symlink(os.path.abspath(target), link)

        config = load(link)

        expected = os.path.join(os.path.abspath(directory), "here")
        self.assertEqual(config.paths.spool, expected)

    def test_file_from_a_pipe(self) -> None:
        """A configuration may come out of a pipe."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, b"limits: {connections: 20}")
        os.close(writing)

        config = load(f"/dev/fd/{reading}")

        self.assertEqual(config.limits.connections, 20)

    def test_large_file(self) -> None:
        """A thousand services are no problem."""
        services = {f"service{n}": {"type": "x", "args": {"n": n}} for n in range(1000)}

        config = loads(json.dumps({"services": services}))

        self.assertEqual(len(config.services), 1000)
        self.assertEqual(config.services["service999"].args, {"n": 999})

    def test_empty_sections(self) -> None:
        """Sections with nothing in them are their defaults."""
        config = loads("services:\nstorages:\nlogging:\nlimits:\npaths:\nnetwork:\n")

        self.assertEqual((config.services, config.storages), ({}, {}))
        self.assertEqual(config.limits.connections, 16384)


class RefusalTests(_Files):
    """Files that cannot be used."""

    def refused(self, text: str | bytes) -> ConfigError:
        """Load a file that is wrong and give the error."""
        self.path = self.write(text)
        error = self.assertRaises(ConfigError, load, self.path)
        assert isinstance(error, ConfigError)
        return error

    def test_missing_file(self) -> None:
        """A file that is not there is named with the reason."""
        path = self.mktemp()

        error = self.assertRaises(ConfigError, load, path)

        self.assertEqual(
            str(error), f"{path}: cannot be read: No such file or directory"
        )

    def test_directory(self) -> None:
        """So is a directory."""
        path = self.mktemp()
        os.makedirs(path)

        self.assertIn("Is a directory", str(self.assertRaises(ConfigError, load, path)))

    def test_name_that_is_none(self) -> None:
        """A name with a zero in it is no crash."""
        error = self.assertRaises(ConfigError, load, "a\0b")

        self.assertIn("no name of a file", str(error))

    def test_endless_file(self) -> None:
        """Reading stops at the limit, also of a device without an end."""
        error = self.assertRaises(ConfigError, load, "/dev/zero")

        self.assertIn(f"longer than {MAX_BYTES} bytes", error.reason)

    def test_empty_file(self) -> None:
        """An empty file is told apart from a good one."""
        self.assertIn("is empty", self.refused("# nothing\n").reason)

    def test_file_of_another_kind(self) -> None:
        """A file that is a list or a word is none of ours."""
        self.assertIn("not a list", self.refused("- a\n").reason)
        self.assertIn("not the text 'hello'", self.refused("hello").reason)

    def test_binary_file(self) -> None:
        """A file that is no text is refused."""
        self.assertIn("UTF-8", self.refused(b"\x7fELF\xff").reason)

    def test_wide_encodings(self) -> None:
        """Text of two bytes for each sign is refused, whatever its order."""
        for encoding in ("utf-16", "utf-16-be", "utf-32"):
            error = self.refused("services: {}\n".encode(encoding))
            self.assertTrue(error.reason, encoding)

    def test_unreadable_path_below_a_file(self) -> None:
        """Any reason of the operating system is passed on."""
        path = os.path.join(self.write("a: 1"), "node.yaml")

        error = self.assertRaises(ConfigError, load, path)

        self.assertIn("cannot be read: Not a directory", str(error))

    def test_syntax_error_has_the_place(self) -> None:
        """A file that is broken early says where."""
        error = self.refused("services:\n  a: [1\nstorages: {}\n")

        self.assertTrue(str(error).startswith(f"{self.path}:3: "), str(error))

    def test_deepest_argument(self) -> None:
        """Arguments are bounded in depth like everything else."""
        error = self.refused("services: {a: {type: x, args: {v: " + "[" * 70)

        self.assertIn("nested deeper", error.reason)

    def test_double_section(self) -> None:
        """A section that comes twice is not merged in silence."""
        error = self.refused("services: {}\nstorages: {}\nservices: {}\n")

        self.assertEqual((error.path, error.line), ("services", 3))

    def test_unknown_key(self) -> None:
        """An unknown key is named with file, line, path and the nearest name."""
        error = self.refused("network:\n  pinned: {}\n  sharde: [1, 2]\n")

        self.assertEqual(
            str(error),
            f"{self.path}:3: network.sharde: unknown key; did you mean 'shared'?",
        )

    def test_unknown_section(self) -> None:
        """So is an unknown section."""
        error = self.refused("servces:\n  a: {type: b}\n")

        self.assertEqual(
            str(error), f"{self.path}:1: servces: unknown key; did you mean 'services'?"
        )

    def test_all_at_once(self) -> None:
        """Translation and schema report together, in the file's order."""
        error = self.refused("version: 9\nlocator: {}\nlimits: {frame: 1}\nx: 1\n")

        assert isinstance(error, ConfigErrors)
        self.assertEqual(
            [(problem.path, problem.line) for problem in error.problems],
            [("version", 1), ("locator", 2), ("limits.frame", 3), ("x", 4)],
        )

    def test_args_must_be_a_section(self) -> None:
        """Arguments of a component are keys with values."""
        error = self.refused("services:\n  a:\n    type: b\n    args: [1]\n")

        self.assertEqual((error.path, error.line), ("services.a.args", 4))


_words = st.sampled_from(
    """version paths network logging loggers services storages locator type args core
    sinks sink limits pinned shared port-range gateway group plugins verbosity isolate
    uuid hostname endpoint port""".split()
)
_trees = st.recursive(
    st.none() | st.booleans() | st.sampled_from([2, 3, 4, 0, -1, 70000, 1.5]) | _words,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=5)
    ),
    max_leaves=25,
)


class PropertyTests(SynchronousTestCase):
    """Laws of the whole way."""

    @given(
        tree=st.dictionaries(_words, _trees, max_size=6),
        version=st.sampled_from([None, 2, 3, 4, "4", [], 2.0, True]),
    )
    def test_any_tree_is_a_node_or_refused(
        self, tree: dict[str, Any], version: object
    ) -> None:
        """Random sections in random places give nothing but a ConfigError."""
        if version is not None:
            tree["version"] = version
        try:
            config = loads(json.dumps(tree), "f")
        except ConfigError as error:
            self.assertTrue(str(error).startswith("f"), str(error))
        else:
            self.assertEqual(config.version, 4)
            self.assertTrue(os.path.isabs(config.paths.runtime))

    @given(text=st.text(max_size=60))
    def test_any_text_is_a_node_or_refused(self, text: str) -> None:
        """Neither does random text."""
        try:
            self.assertEqual(loads(text).version, 4)
        except ConfigError as error:
            self.assertTrue(error.reason)
