# -*- test-case-name: cocained.test.test_examples_cluster -*-
"""
The parts of ``make cluster-demo`` that need no network.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.config import loads
from cocained.tap import check
from cocained.test.demo_case import COMMON, EXAMPLES, DemoCase
from cocained.test.test_conventions import NO_CHECKOUT

NAMES = {"10.77.0.1": "one", "10.77.0.2": "two"}


class ClusterDemoCase(DemoCase):
    """Tests of this one."""

    place = EXAMPLES / "cluster"
    package = "cluster_demo"


class FileTests(SynchronousTestCase):
    """``examples/cluster.yaml``."""

    skip = NO_CHECKOUT

    def test_good(self) -> None:
        """A node can be built from it, as it can from the lines of the README."""
        printed = io.StringIO()
        self.patch(sys, "stdout", printed)

        self.assertEqual(check(str(EXAMPLES / "cluster.yaml")), 0)

        self.assertEqual(printed.getvalue(), f"{EXAMPLES / 'cluster.yaml'}: good\n")

    def test_readme(self) -> None:
        """The README shows the same lines."""
        readme = (EXAMPLES.parent / "README.rst").read_text()
        text = (EXAMPLES / "cluster.yaml").read_text()
        for line in text.splitlines():
            if line.lstrip().startswith(("gateway:", "cluster:")):
                self.assertIn(line.strip(), readme)


class TableTests(ClusterDemoCase):
    """Requests, second by second."""

    def setUp(self) -> None:
        super().setUp()
        self.table = self.load("seconds").Table(NAMES)

    def add(self, ended: float, took: float, host: str, cause: str = "") -> None:
        self.table.add(self.load("seconds").Request(ended, took, host, cause))

    def test_rows(self) -> None:
        """A row counts what ended in its second, and who answered."""
        for ended, host in (
            (0.1, "10.77.0.1"),
            (0.9, "10.77.0.1"),
            (0.95, "10.77.0.2"),
        ):
            self.add(ended, 10 * ended, host)
        self.add(1.0, 3.0, "10.77.0.2")

        self.assertEqual(
            self.table.row(0).split(),
            ["1", "3", "3", "0", "9.0", "ms", "9.5", "ms", "2", "1"],
        )
        self.assertEqual(self.table.row(1).split()[:4], ["2", "1", "1", "0"])

    def test_header(self) -> None:
        """The header names each column, and is as wide as the rows."""
        self.add(0.5, 1.0, "10.77.0.1")
        header, row = self.table.header(), self.table.row(0)

        self.assertEqual(header.split()[-2:], ["one", "two"])
        self.assertEqual(len(header), len(row))

    def test_causes(self) -> None:
        """What failed is told with its causes, behind what happened."""
        self.add(0.5, 1.0, "", "connection lost")
        self.add(0.6, 1.0, "", "connection lost")
        self.table.happened(0.4, "two is killed")

        row = self.table.row(0)

        self.assertTrue(row.endswith("  two is killed; 2 of connection lost"), row)
        self.assertEqual(row.split()[1:4], ["2", "0", "2"])

    def test_silent_second(self) -> None:
        """A second in which nothing ended has a row as well."""
        self.add(2.5, 1.0, "10.77.0.1")

        self.assertEqual(len(self.table), 3)
        self.assertEqual(
            self.table.row(1).split(), ["2", "0", "0", "0", "-", "-", "0", "0"]
        )
        self.assertEqual(self.table.row(7).split()[0], "8")

    def test_sum(self) -> None:
        """All seconds are summed up."""
        self.add(0.5, 1.0, "10.77.0.1")
        self.add(3.5, 1.0, "", "lost")

        self.assertEqual(self.table.sum(), {"requests": 2, "answered": 1, "failed": 1})

    def test_record(self) -> None:
        """The record has the same for programs."""
        self.add(0.5, 2.0, "10.77.0.2")
        self.add(0.7, 4.0, "", "lost")
        self.table.happened(0.6, "two is killed")

        (record,) = self.table.record()

        self.assertEqual(
            record,
            {
                "requests": 2,
                "answered": 1,
                "failed": 1,
                "causes": {"lost": 1},
                "p50_ms": 4.0,
                "p99_ms": 4.0,
                "nodes": {"one": 0, "two": 1},
                "events": ["two is killed"],
            },
        )

    def test_quantile(self) -> None:
        """A quantile is one of the values; nothing has none."""
        quantile = self.load("seconds").quantile

        self.assertIsNone(quantile([], 0.5))
        self.assertEqual(quantile([3.0], 0.99), 3.0)
        self.assertEqual(quantile([float(n) for n in range(100)], 0.99), 99.0)
        self.assertEqual(quantile([3.0, 1.0, 2.0], 0.5), 2.0)


class NodesTests(ClusterDemoCase):
    """The nodes of the demonstration."""

    def test_configuration(self) -> None:
        """Each has a configuration that can be used, and its own address."""

        class Host:
            address = "10.77.0.9"

        made = self.load("nodes").configuration(Host(), Path("/tmp/a"), Path("/tmp/s"))

        self.assertEqual(loads(str(made)).network.endpoint, "10.77.0.9")
        self.assertEqual(made["storages"]["core"]["args"]["path"], "/tmp/s")

    def test_app(self) -> None:
        """The app can be run, or it would be refused."""
        self.assertTrue(os.access(self.place / "who" / "who.py", os.X_OK))


class ArgumentTests(ClusterDemoCase):
    """Arguments of the command."""

    def test_defaults(self) -> None:
        """Without arguments it shows everything and cleans up."""
        options = self.load("command").parse([])

        self.assertEqual(vars(options), {"keep": False, "json": False})

    def test_not_root(self) -> None:
        """Who is not root is told what to type."""
        self.patch(os, "geteuid", lambda: 1000)
        command = self.load("command")
        screen = self.load("screen", COMMON)
        shown = screen.Screen(command.STEPS, io.StringIO())

        error = self.assertRaises(
            command.LabError, command.demonstrate, shown, keep=False
        )

        self.assertIn("sudo make cluster-demo", str(error))
