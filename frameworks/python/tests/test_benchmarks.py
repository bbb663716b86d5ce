# -*- test-case-name: tests.test_benchmarks -*-
"""
The benchmarks run, and the worker is not slow.
"""

from __future__ import annotations

import os
import subprocess
import sys
import unittest

from .support import ROOT

FOLDER = os.path.join(ROOT, "benchmarks")


def run(name, *arguments):
    """The lines that a benchmark prints."""
    command = [sys.executable, os.path.join(FOLDER, name), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    return done.stdout.decode().splitlines()


class BenchmarkTests(unittest.TestCase):
    """Short rounds; the bars are loose, for slow and busy machines."""

    def test_throughput(self):
        """Thousands of requests per second, generator and async."""
        lines = run("throughput.py", "2000", "64")
        self.assertEqual(
            [line.split()[0] for line in lines], ["generator"] * 2 + ["async"] * 2
        )
        for line in (lines[1], lines[3]):
            self.assertGreater(float(line.split()[-2].replace(",", "")), 3000)

    def test_coldstart(self):
        """Three medians."""
        lines = run("coldstart.py", "1")
        self.assertEqual(len(lines), 3)
        self.assertLess(float(lines[1].split()[-2]), 500)
