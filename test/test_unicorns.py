# -*- test-case-name: cocained.test.test_unicorns -*-
"""Tests for :mod:`cocained.unicorns`: the backends of one node by the contract."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.testing import stub_node
from cocained.testing.contracts import UnicornContract
from cocained.unicorns.files import FilesArgs, FilesUnicorn
from cocained.unicorns.memory import MemoryUnicorn


class MemoryUnicornTests(UnicornContract, SynchronousTestCase):
    """The unicorn in memory keeps the contract."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.unicorn: Any = MemoryUnicorn(self.node, "core")
        self.addCleanup(self.unicorn.stop)

    def test_answers_at_once(self) -> None:
        """Every Deferred has fired when it is given."""
        self.successResultOf(self.unicorn.create("/a", 1))
        self.assertEqual(self.successResultOf(self.unicorn.get("/a")), (1, 0))


class FilesUnicornTests(UnicornContract, SynchronousTestCase):
    """The unicorn with a journal keeps the contract."""

    def setUp(self) -> None:
        self.node = stub_node()
        self.unicorn: Any = FilesUnicorn(
            self.node, "core", FilesArgs(path=self.mktemp())
        )
        self.result_of(self.unicorn.start())
        self.addCleanup(lambda: self.result_of(self.unicorn.stop()))
