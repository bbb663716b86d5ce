# -*- test-case-name: cocained.test.test_gateways_kernel_ownership -*-
"""
Which entries of the kernel are a node's own.
"""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import CocainedError, StorageError
from cocained.gateways.kernel.ownership import Ownership

V = ("192.0.2.100", 20000)
W = ("2001:db8::100", 20001)


class OwnershipTests(SynchronousTestCase):
    """What is kept from one run to the next."""

    def setUp(self) -> None:
        self.place = self.mktemp()
        os.makedirs(self.place)
        self.boot = Path(self.mktemp())
        self.boot.write_text("one\n")

    def make(self, name: str = "locator:gateway") -> Ownership:
        return Ownership(self.place, name, self.boot)

    def take(self, name: str = "locator:gateway") -> Ownership:
        ownership = self.make(name)
        ownership.take()
        self.addCleanup(ownership.release)
        return ownership

    def files(self) -> list[str]:
        return sorted(Path(name).suffix for name in os.listdir(self.place))

    def refusal(self) -> str:
        return str(self.assertRaises(CocainedError, self.make().take))

    def test_identity(self) -> None:
        """It is the same in every run, and another for others."""
        self.assertEqual(self.make().identity, self.make().identity)
        self.assertRegex(self.make().identity, r"^[0-9a-f]{8}\Z")
        self.assertNotEqual(self.make().identity, self.make("other").identity)
        elsewhere = Ownership(self.mktemp(), "locator:gateway", self.boot)
        self.assertNotEqual(self.make().identity, elsewhere.identity)

    def test_remembered(self) -> None:
        """What a run has written is what the next one finds."""
        first = self.take()
        self.assertEqual(first.virtuals, set())
        first.remember([V, W])
        first.remember([V, W])
        first.release()

        self.assertEqual(self.take().virtuals, {V, W})
        self.assertEqual(self.files(), [".json", ".lock"])

    def test_nothing(self) -> None:
        """Where nothing is ours, nothing is left but the lock."""
        first = self.take()
        first.remember([V])
        first.remember([])
        first.release()
        first.release()

        self.assertEqual(self.files(), [".lock"])

    def test_never_anything(self) -> None:
        """Whoever never had anything leaves nothing."""
        self.take().release()

        self.assertEqual(self.files(), [".lock"])

    def test_started_anew(self) -> None:
        """What was written before the machine started is nobody's."""
        first = self.take()
        first.remember([V])
        first.release()
        self.boot.write_text("two\n")

        self.assertEqual(self.take().virtuals, set())

    def test_two(self) -> None:
        """Two at a time are one too many; gateways of other names are others."""
        self.take()
        self.take("other")

        self.assertIn("another node balances in", self.refusal())

    def test_nonsense(self) -> None:
        """A file that is no such list is an error that says what to do."""
        path = self.make()._path
        for blob in (b"", b"{", b"[]", b'{"boot": "one"}', b"\xff", b'{"boot": 1}'):
            path.write_bytes(blob)

            self.assertIn("compare it with the output of ipvsadm", self.refusal())

        self.assertEqual(path.read_bytes(), blob)

    def test_no_directory(self) -> None:
        """A directory that is not there is an error of ours."""
        os.rmdir(self.place)

        self.assertRaises(StorageError, self.make().take)

    def test_unreadable(self) -> None:
        """What cannot be read is an error of ours."""
        self.make()._path.mkdir()

        self.assertRaises(StorageError, self.make().take)

    def test_unwritable(self) -> None:
        """What cannot be written is one, and nothing is taken for ours."""
        ownership = self.take()
        ownership._path.mkdir()
        self.addCleanup(ownership._path.rmdir)

        self.assertRaises(StorageError, ownership.remember, [V])

        self.assertEqual(ownership.virtuals, set())

    def test_not_removed(self) -> None:
        """What cannot be removed at the end is one, and the lock is free."""
        ownership = self.take()
        ownership._path.mkdir()

        self.assertRaises(StorageError, ownership.release)

        ownership._path.rmdir()
        self.take()
