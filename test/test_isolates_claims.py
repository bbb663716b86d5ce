# -*- test-case-name: cocained.test.test_isolates_claims -*-
"""
Directories in use, and directories that nobody uses any more.
"""

from __future__ import annotations

import errno
import os

from twisted.trial.unittest import SynchronousTestCase

from cocained.isolates import claims
from cocained.isolates.claims import abandoned, claim


class ClaimTests(SynchronousTestCase):
    """Locks on directories."""

    def setUp(self) -> None:
        self.path = os.path.abspath(self.mktemp())

    def claim(self) -> int:
        descriptor = claim(self.path)
        self.addCleanup(self._close, descriptor)
        return descriptor

    def _close(self, descriptor: int) -> None:
        try:
            os.close(descriptor)
        except OSError as error:
            self.assertEqual(error.errno, errno.EBADF)

    def is_abandoned(self) -> bool:
        with abandoned(self.path) as is_free:
            return is_free

    def test_made(self) -> None:
        """A claim makes the directory, and others see that it is in use."""
        self.claim()

        self.assertTrue(os.path.isdir(self.path))
        self.assertFalse(self.is_abandoned())

    def test_shared(self) -> None:
        """Several may use it; it is abandoned when the last has gone."""
        first, second = self.claim(), self.claim()

        os.close(first)
        self.assertFalse(self.is_abandoned())
        os.close(second)

        self.assertTrue(self.is_abandoned())

    def test_not_inherited(self) -> None:
        """A worker does not hold the claim of its node."""
        self.assertFalse(os.get_inheritable(self.claim()))

    def test_missing(self) -> None:
        """What is not there, or is no directory, was not abandoned."""
        self.assertFalse(self.is_abandoned())
        with open(self.path, "w"):
            self.assertFalse(self.is_abandoned())

    def test_link(self) -> None:
        """A link leads nobody elsewhere."""
        os.symlink("/", self.path)

        self.assertRaises(OSError, claim, self.path)

    def test_removed_meanwhile(self) -> None:
        """A directory that a sweep removes before the lock is made anew."""
        opened = claims._open
        removed: list[str] = []

        def open_and_lose(path: str) -> int:
            descriptor = opened(path)
            if not removed:
                removed.append(path)
                os.rmdir(path)
            return descriptor

        self.patch(claims, "_open", open_and_lose)
        self.claim()

        self.assertTrue(os.path.isdir(self.path))
        self.assertFalse(self.is_abandoned())

    def test_removed_again_and_again(self) -> None:
        """After some attempts it is an error, not a loop."""
        opened = claims._open

        def open_and_lose(path: str) -> int:
            descriptor = opened(path)
            os.rmdir(path)
            return descriptor

        self.patch(claims, "_open", open_and_lose)

        error = self.assertRaises(OSError, claim, self.path)
        self.assertEqual(error.errno, errno.EBUSY)
