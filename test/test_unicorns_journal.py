# -*- test-case-name: cocained.test.test_unicorns_journal -*-
"""Tests for :mod:`cocained.unicorns.journal`: what is acknowledged is kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import UnicornError
from cocained.unicorns import journal as module
from cocained.unicorns.journal import JOURNAL, SCRATCH, Journal
from cocained.unicorns.tree import Plan, State, Tree


class FaultyJournal(Journal):
    """A journal on a disk with faults."""

    def __init__(self, folder: str, tree: Tree) -> None:
        super().__init__(folder, tree)
        #: bytes that still fit
        self.room: int | None = None
        #: how many calls go well before one fails
        self.syncs: int | None = None
        self.truncates = True

    def _os_write(self, fd: int, data: Any) -> int:
        if self.room is not None:
            if not self.room:
                raise OSError(errno.ENOSPC, "full")
            data = data[: self.room]
            self.room -= len(data)
        return os.write(fd, data)

    def _os_fsync(self, fd: int) -> None:  # type: ignore[override]
        if self.syncs is not None:
            self.syncs -= 1
            if self.syncs < 0:
                raise OSError(errno.EIO, "broken")
        os.fsync(fd)

    def _os_ftruncate(self, fd: int, size: int) -> None:
        if not self.truncates:
            raise OSError(errno.EIO, "broken")
        os.ftruncate(fd, size)


class _JournalCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(os.path.abspath(self.mktemp()))
        self.journal = self.open()

    def open(self) -> FaultyJournal:
        """Open the journal, with the tree that it holds."""
        self.tree = Tree()
        journal = FaultyJournal(str(self.folder), self.tree)
        journal.open()
        self.addCleanup(journal.close)
        return journal

    def again(self) -> FaultyJournal:
        """Close the journal and open it anew."""
        self.journal.close()
        self.journal = self.open()
        return self.journal

    def change(self, plan: Plan) -> None:
        """Keep a change, then make it."""
        self.journal.note(plan.states)
        self.tree.apply(plan.states)

    def create(self, path: str, data: bytes = b"", ephemeral: bool = False) -> None:
        self.change(self.tree.create(path, data, ephemeral, False))

    def paths(self) -> list[str]:
        """All paths but the root."""
        return [state.path for state in self.tree][1:]

    def refused(self, function: Callable[..., Any], *args: Any) -> str:
        """Check that it is refused; give the reason."""
        error: UnicornError = self.assertRaises(UnicornError, function, *args)
        return error.reason


class KeepingTests(_JournalCase):
    """What was kept is there again."""

    def test_kept(self) -> None:
        """Values, versions and counters survive."""
        self.create("/a", b"1")
        self.create("/a/b", b"\0\xff")
        self.change(self.tree.write("/a", b"2", -1))
        self.create("/c")
        self.change(self.tree.delete("/c", -1))
        before = list(self.tree)

        self.again()

        self.assertEqual(list(self.tree), before)
        self.assertEqual(self.journal.torn, 0)

    def test_again_and_again(self) -> None:
        """Opening changes nothing."""
        self.create("/a", b"1")
        before = list(self.tree)
        for _ in range(3):
            self.again()
            self.assertEqual(list(self.tree), before)

    def test_ephemeral(self) -> None:
        """Ephemeral nodes are gone, and counted as gone."""
        self.create("/a")
        self.create("/a/e", ephemeral=True)
        before = self.tree.read("/a")[1]

        self.again()

        after = self.tree.read("/a")[1]
        self.assertEqual(self.paths(), ["/a"])
        self.assertEqual(after.children_version, before.children_version + 1)

    def test_sequences_go_on(self) -> None:
        """A number that was given does not come again in the next life."""
        self.create("/a")
        plan = self.tree.create("/a/n", b"", True, True)
        self.change(plan)

        self.again()

        again = self.tree.create("/a/n", b"", True, True)
        self.assertGreater(again.states[0].path, plan.states[0].path)

    def test_two_processes(self) -> None:
        """A directory belongs to one at a time."""
        other = Journal(str(self.folder), Tree())

        self.assertIn("in use by another", self.refused(other.open))

        self.journal.close()
        other.open()
        other.close()

    def test_no_directory(self) -> None:
        """A directory that cannot be is named."""
        other = Journal(str(self.folder / JOURNAL), Tree())

        self.assertIn("File exists", self.refused(other.open))

    def test_closed(self) -> None:
        """Nothing is kept by a journal that is closed."""
        self.journal.close()

        self.assertIn("closed", self.refused(self.create, "/a"))


class CrashTests(_JournalCase):
    """A process that is killed at any moment."""

    def test_every_byte(self) -> None:
        """Wherever the file ends, all whole changes are there, and no half one."""
        path = self.folder / JOURNAL
        first = len(path.read_bytes())
        ends, trees = [first], [list(self.tree)]
        for step in range(6):
            self.create(f"/n{step}", b"x" * step * 7)
            ends.append(len(path.read_bytes()))
            trees.append(list(self.tree))
        self.change(self.tree.delete("/n0", -1))
        data = path.read_bytes()
        ends.append(len(data))
        trees.append(list(self.tree))
        for size in range(len(data) + 1):
            self.journal.close()
            path.write_bytes(data[:size])
            whole = sum(end <= size for end in ends)

            self.journal = self.open()

            expected = trees[whole - 1] if whole else trees[0]
            self.assertEqual(list(self.tree), expected, size)
            self.create("/after", b"the crash")
            self.again()
            self.assertIn("/after", self.paths())

    def test_every_byte_of_compaction(self) -> None:
        """A journal that was being written anew does not count until it is whole."""
        self.create("/a", b"1")
        data = (self.folder / JOURNAL).read_bytes()
        for size in range(0, len(data) + 1, 5):
            self.journal.close()
            (self.folder / SCRATCH).write_bytes(data[:size])

            self.journal = self.open()

            self.assertEqual(self.paths(), ["/a"])

    def test_torn_is_said(self) -> None:
        """How much was cut off is known."""
        self.create("/a", b"1")
        self.journal.close()
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(b"\0\0\0\x09half")

        self.journal = self.open()

        self.assertEqual((self.journal.torn, self.paths()), (8, ["/a"]))

    def test_zeros(self) -> None:
        """A power cut may leave zeros at the end."""
        self.create("/a", b"1")
        self.journal.close()
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(bytes(4096))

        self.journal = self.open()

        self.assertEqual((self.journal.torn, self.paths()), (4096, ["/a"]))

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=64))
    def test_any_tail(self, tail: bytes) -> None:
        """Whatever is behind the last record, all before it is kept."""
        self.journal.close()
        (self.folder / JOURNAL).unlink()
        self.journal = self.open()
        self.create("/a", b"1")
        self.journal.close()
        with (self.folder / JOURNAL).open("ab") as file:
            file.write(tail)

        self.journal = self.open()

        self.assertEqual(self.paths(), ["/a"])


class DamageTests(_JournalCase):
    """Files that are not what they should be."""

    def test_flipped_bit(self) -> None:
        """A damaged record with good ones behind it is not passed over."""
        self.create("/a", b"value")
        self.create("/b", b"value")
        self.journal.close()
        path = self.folder / JOURNAL
        data = bytearray(path.read_bytes())
        data[data.index(b"value")] ^= 1
        path.write_bytes(data)

        reason = self.refused(self.open)

        self.assertIn("damaged at byte", reason)
        self.assertEqual(path.read_bytes(), data)

    def test_other_file(self) -> None:
        """A file that is no journal is left alone."""
        self.journal.close()
        (self.folder / JOURNAL).write_bytes(b"letters to grandmother")

        self.assertIn("no journal", self.refused(self.open))

    def test_impossible_states(self) -> None:
        """A good record of what cannot be is damage as well."""
        self.journal.note([State("/no/parent", b"")])
        self.journal.close()

        self.assertIn("damaged", self.refused(self.open))

    def test_record_of_something_else(self) -> None:
        """So is one that says something else."""
        for payload in (
            [1],
            ["/a"],
            [["/a", b"", 0, 0, 0, False, 9]],
            [["/a", b"", 0, 0, 0, 1]],
            [["/a", b"", -1]],
            [["/a", b"", True]],
            [["/a", b"", 0, 2**62]],
            [["a", b""]],
            [["/a/", b""]],
            [["//a", b""]],
            [["", None]],
            [["/a", b"", 0, 0, 0, True], ["/a/b", b""]],
        ):
            self.journal.close()
            with (self.folder / JOURNAL).open("ab") as file:
                file.write(module._frame(payload))
            self.refused(self.open)
            (self.folder / JOURNAL).unlink()
            self.journal = self.open()


class FaultTests(_JournalCase):
    """A disk that is full, or breaks."""

    def check_alive(self) -> None:
        """What was acknowledged is there, and changes can be made."""
        self.create("/alive", b"yes")
        self.assertEqual(self.journal.problem, "")
        before = list(self.tree)
        self.again()
        self.assertEqual(list(self.tree), before)
        self.assertEqual(self.journal.torn, 0)

    def test_full(self) -> None:
        """Wherever the disk is full, the change has not happened."""
        self.create("/a", b"1")
        for room in range(60):
            self.journal.room = room
            reason = self.refused(self.create, "/full", b"x" * 60)
            self.assertIn("No space left on device", reason)
            self.assertEqual(self.journal.problem, reason)
        self.journal.room = None

        self.assertEqual(self.paths(), ["/a"])
        self.check_alive()
        self.assertEqual(self.paths(), ["/a", "/alive"])

    def test_full_and_killed(self) -> None:
        """Nothing of a refused change is there in the next life."""
        self.create("/a", b"1")
        self.journal.room = 10
        self.refused(self.create, "/full", b"")

        self.again()

        self.assertEqual((self.paths(), self.journal.torn), (["/a"], 0))

    def test_not_flushed(self) -> None:
        """When it is unknown what the disk has, the journal is written anew."""
        self.create("/a", b"1")
        self.journal.syncs = 0
        self.assertIn("Input/output", self.refused(self.create, "/b"))
        self.refused(self.create, "/b")
        self.journal.syncs = None

        self.check_alive()
        self.assertEqual(self.paths(), ["/a", "/alive"])

    def test_not_cut_off(self) -> None:
        """Half a change that cannot be cut off is got rid of before the next."""
        self.create("/a", b"1")
        self.journal.room, self.journal.truncates = 10, False
        self.refused(self.create, "/b")
        self.refused(self.create, "/b")
        self.journal.room = None

        self.check_alive()
        self.assertEqual(self.paths(), ["/a", "/alive"])


class CompactionTests(_JournalCase):
    """A journal does not grow for ever."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(module, "COMPACT_MIN", 2000)
        self.again()

    def size(self) -> int:
        return (self.folder / JOURNAL).stat().st_size

    def test_small(self) -> None:
        """Its length is bounded by what it holds."""
        self.create("/a", b"0")
        for step in range(1000):
            self.change(self.tree.write("/a", b"%d" % step, -1))
            self.assertLess(self.size(), 2200)

        before = list(self.tree)
        self.again()
        self.assertEqual(list(self.tree), before)

    def test_grows_with_the_tree(self) -> None:
        """A large tree is not written anew for each few changes."""
        for number in range(200):
            self.create(f"/n{number}", b"x" * 50)
        inode = (self.folder / JOURNAL).stat().st_ino
        for number in range(50):
            self.change(self.tree.write(f"/n{number}", b"y" * 50, -1))

        self.assertEqual((self.folder / JOURNAL).stat().st_ino, inode)

    def test_no_room_for_it(self) -> None:
        """If it cannot be written anew, the old one goes on, and says so."""
        self.create("/a", b"0")
        renamed = self.patch(os, "rename", self.no_rename)
        for step in range(200):
            self.change(self.tree.write("/a", b"%d" % step, -1))
        self.assertIn("the journal grows", self.seen)
        renamed.restore()

        for step in range(200):
            self.change(self.tree.write("/a", b"%d" % step, -1))

        self.assertLess(self.size(), 2200)
        self.assertEqual(self.journal.problem, "")
        before = list(self.tree)
        self.again()
        self.assertEqual(list(self.tree), before)

    seen = ""

    def no_rename(self, *names: str) -> None:
        raise OSError(errno.ENOSPC, "full")

    def change(self, plan: Plan) -> None:
        super().change(plan)
        self.seen += self.journal.problem

    def test_folder_not_flushed(self) -> None:
        """A failure behind the rename is set right before the next change."""
        self.create("/a", b"0")
        self.journal._compact_at = 0
        self.journal.syncs = 1
        self.refused(self.create, "/b")
        self.journal.syncs = None

        self.create("/c", b"")

        self.again()
        self.assertEqual(self.paths(), ["/a", "/c"])
