# -*- test-case-name: cocained.test.test_config_describe -*-
"""
The tables of the documentation.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import runpy
import warnings
from typing import Annotated

import msgspec
from msgspec import Meta
from twisted.trial.unittest import SynchronousTestCase

from cocained.apps.keys import ManifestKeys, ProfileKeys
from cocained.config import Settings
from cocained.config.describe import Row, document, ignored, rows, table
from cocained.config.original import IGNORED, IGNORED_KEYS


class Tiny(msgspec.Struct, rename="kebab"):
    """A section to describe."""

    how_long: Annotated[
        float, Meta(gt=0, description="A wait.", extra={"unit": "seconds"})
    ]
    loud: Annotated[bool, Meta(description="Noise.")] = False
    name: Annotated[str | None, Meta(description="Who.")] = None
    ports: Annotated[tuple[int, ...], Meta(description="Where.")] = (1, 2)


class DescribeTests(SynchronousTestCase):
    """Rows and tables."""

    def test_rows(self) -> None:
        """A row has the key as the file spells it, and everything about it."""
        self.assertEqual(
            list(rows(Tiny, "args")),
            [
                Row(
                    "``args.how-long``",
                    "a number greater than 0",
                    "seconds",
                    "required",
                    "A wait.",
                ),
                Row("``args.loud``", "true or false", "", "``false``", "Noise."),
                Row("``args.name``", "text", "", "none", "Who."),
                Row("``args.ports``", "a list", "", "``[1, 2]``", "Where."),
            ],
        )

    def test_markup(self) -> None:
        """A pattern is a literal, and an empty text has a word of its own."""

        class Marked(msgspec.Struct):
            word: Annotated[str, Meta(pattern=r"^a\Z")] = ""

        (row,) = rows(Marked)
        self.assertEqual(row.type, r"text like ``^a\Z``")
        self.assertEqual(row.default, "empty")

    def test_table(self) -> None:
        """A table has a line for each cell."""
        lines = table(Tiny).splitlines()

        self.assertEqual(lines[:3], [".. list-table::", "   :header-rows: 1", ""])
        self.assertEqual(lines[3], "   * - Key")
        self.assertEqual(lines[8], "   * - ``how-long``")
        self.assertEqual(len(lines), 3 + 5 * 5)

    def test_every_field_has_a_description(self) -> None:
        """No key of the configuration or of an app's documents is bare."""
        for struct in (Settings, ManifestKeys, ProfileKeys):
            for row in rows(struct):
                self.assertTrue(row.description.endswith("."), row.key)

    def test_every_duration_and_size_has_a_unit(self) -> None:
        """Numbers that are no port, version or position say what they count."""
        bare = {"``version``", "``protocol``"}

        for struct in (Settings, ManifestKeys, ProfileKeys):
            for row in rows(struct):
                if "number" in row.type and row.key not in bare:
                    self.assertTrue(row.unit, row.key)

    def test_no_default_depends_on_this_machine(self) -> None:
        """Names and directories of the machine that builds do not leak."""
        written = document()

        for key, default in (
            ("``paths.runtime``", "XDG_RUNTIME_DIR"),
            ("``network.hostname``", "the machine's own name"),
        ):
            row = next(row for row in rows(Settings) if row.key == key)
            self.assertIn(default, row.default)
            self.assertIn(row.default, written)

    def test_keys_of_components(self) -> None:
        """Keys under names and positions are listed once."""
        keys = [row.key for row in rows(Settings)]

        for key in ("services.NAME.type", "logging.loggers[N].args", "limits.frame"):
            self.assertEqual(keys.count(f"``{key}``"), 1, key)

    def test_computed_default_is_told(self) -> None:
        """The default of grow-threshold is a formula."""
        row = next(r for r in rows(ProfileKeys) if r.key == "``grow-threshold``")

        self.assertIn("queue-limit / pool-limit / 2", row.default)

    def test_ignored_keys_are_listed(self) -> None:
        """What the original has and we have not is documented as well."""
        lines = ignored().splitlines()

        self.assertEqual(len(lines), len(IGNORED) + len(IGNORED_KEYS))
        self.assertIn("* ``network.pool``", ignored())

    def test_as_a_program(self) -> None:
        """``python -m cocained.config.describe`` prints the document."""
        printed = io.StringIO()

        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            # The module is loaded already; that is what is warned of.
            warnings.simplefilter("ignore", RuntimeWarning)
            runpy.run_module("cocained.config.describe", run_name="__main__")

        self.assertEqual(printed.getvalue(), document())

    def test_document_is_valid_markup(self) -> None:
        """Everything together is read by docutils without a warning."""
        try:
            core = importlib.import_module("docutils.core")
        except ImportError:
            self.skipTest("docutils is not installed")

        html = core.publish_string(
            document(),
            writer="html",
            settings_overrides={"halt_level": 2, "report_level": 2},
        )

        self.assertIn(b"paths.runtime", html)
