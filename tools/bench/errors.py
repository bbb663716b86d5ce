# -*- test-case-name: cocained.test.test_tools_bench -*-
"""What ends a measurement."""

from __future__ import annotations

from cocained.errors import CocainedError


class BenchError(CocainedError):
    """Something that the benchmark needs is missing or went wrong."""


class Skipped(BenchError):
    """A scenario that cannot be run here, and why."""
