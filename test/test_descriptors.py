# -*- test-case-name: cocained.test.test_descriptors -*-
# ruff: noqa: N802 - the test does what a reactor does
"""
Descriptors that the reactor watches: real pipes, and a reactor that is none.
"""

from __future__ import annotations

import os
from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from cocained.descriptors import Readable


class ReadableTests(SynchronousTestCase):
    """One descriptor."""

    def setUp(self) -> None:
        self.readers: list[Any] = []
        self.calls = 0
        reading, writing = os.pipe()
        self.addCleanup(os.close, writing)
        self.descriptor = reading
        self.readable = Readable(cast(Any, self), reading, self.count)
        self.addCleanup(self.readable.close)

    # What the reactor does

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.remove(reader)

    def count(self) -> None:
        self.calls += 1

    def test_watched(self) -> None:
        """It is watched from the beginning, and tells each time."""
        self.assertEqual(self.readers, [self.readable])
        self.assertEqual(self.readable.fileno(), self.descriptor)

        self.readable.doRead()
        self.readable.doRead()

        self.assertEqual(self.calls, 2)

    def test_close(self) -> None:
        """It is closed once, and watched no more."""
        self.readable.close()
        self.readable.close()

        self.assertEqual(self.readers, [])
        self.assertFalse(self.readable.connected)
        self.assertRaises(OSError, os.fstat, self.descriptor)

    def test_lost(self) -> None:
        """A reactor that gives it up closes it."""
        self.readable.connectionLost(Failure(ConnectionDone()))

        self.assertFalse(self.readable.connected)
