"""
Versions of an app's code that are in use, and stay while they are (row 187).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading

from cocained.errors import SpoolError
from cocained.isolates import claims, shelf
from cocained.isolates.shelf import Hold, Shelf
from cocained.isolates.spool import Swept, locked, version_of
from cocained.test.test_isolates_spool import SpoolCase, app_tar, app_zip

FIRST, SECOND = app_tar(), app_zip()


class ShelfCase(SpoolCase):
    """A shelf, used by several."""

    def setUp(self) -> None:
        super().setUp()
        self.shelf = Shelf(self.root, "app")

    def occupy(self, archive: bytes) -> Hold:
        """Use a version, until the test ends at the latest."""
        hold = Shelf(self.root, "app").occupy(archive)
        self.addCleanup(hold.let_go)
        return hold


class OccupyTests(ShelfCase):
    """What is in use is not removed."""

    def test_cleanup(self) -> None:
        """A cleanup by somebody else leaves it alone, and says nothing of it."""
        hold = self.occupy(FIRST)

        swept = Shelf(self.root, "app").cleanup(())

        self.assertEqual(swept, Swept())
        self.assertEqual(self.inside(), [os.path.basename(hold.directory)])

    def test_given_back(self) -> None:
        """Afterwards it is like any other."""
        hold = self.occupy(FIRST)
        self.shelf.leave(hold)

        swept = self.shelf.cleanup(())

        self.assertEqual(swept.removed, (version_of(FIRST),))

    def test_shared(self) -> None:
        """Two may use one version, which stays for the second."""
        first, second = self.occupy(FIRST), self.occupy(FIRST)
        self.assertEqual(first.directory, second.directory)
        self.shelf.leave(first)

        self.assertEqual(self.shelf.cleanup(()), Swept())

        second.let_go()
        second.let_go()
        self.assertEqual(self.shelf.cleanup(()).removed, (version_of(FIRST),))

    def test_removed_in_between(self) -> None:
        """What goes away between its making and its use is made once more."""
        enter = claims.enter
        paths: list[str] = []

        def late(path: str) -> int | None:
            paths.append(path)
            if len(paths) == 1:
                shutil.rmtree(path)
            return enter(path)

        self.patch(shelf, "enter", late)

        hold = self.occupy(FIRST)

        self.assertEqual(paths, [hold.directory] * 2)
        self.assertTrue(os.path.isdir(hold.directory))

    def test_removed_again_and_again(self) -> None:
        """Somebody who removes it each time is told of, in the end."""
        self.patch(shelf, "enter", lambda path: None)

        error = self.assertRaises(SpoolError, self.shelf.occupy, FIRST)

        self.assertIn("removed over and over", error.reason)

    def test_cleanup_at_the_same_time(self) -> None:
        """Whoever has a version has it whole, whatever is cleaned up meanwhile."""
        done = threading.Event()

        def clean() -> None:
            while not done.is_set():
                Shelf(self.root, "app").cleanup(())

        thread = threading.Thread(target=clean)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(done.set)
        for _ in range(50):
            with contextlib.suppress(SpoolError):
                hold = self.shelf.occupy(FIRST)
                self.assertTrue(os.listdir(hold.directory))
                hold.let_go()


class LeaveTests(ShelfCase):
    """What is done with a version that is used no more."""

    def test_last(self) -> None:
        """The last version stays on the disk: the next start is fast."""
        hold = self.occupy(FIRST)

        self.assertEqual(self.shelf.leave(hold), Swept())

        self.assertEqual(self.inside(), [version_of(FIRST)])

    def test_superseded(self) -> None:
        """One that has a successor goes at once."""
        former, successor = self.occupy(FIRST), self.occupy(SECOND)

        self.assertEqual(self.shelf.leave(former).removed, (version_of(FIRST),))

        self.assertEqual(self.inside(), [os.path.basename(successor.directory)])

    def test_failed_successor(self) -> None:
        """A successor that fails goes, and the one that serves stays."""
        former, successor = self.occupy(FIRST), self.occupy(SECOND)

        self.shelf.leave(successor)

        self.assertEqual(self.inside(), [os.path.basename(former.directory)])

    def test_unused_neighbours(self) -> None:
        """Versions that nobody uses, and what is half made, are no successors."""
        self.shelf.prepare(SECOND)
        hold = self.occupy(FIRST)
        partial = os.path.join(self.root, "app", f".{version_of(SECOND)}.partial-01")
        os.makedirs(partial)
        lock = locked(partial)
        assert lock is not None
        self.addCleanup(os.close, lock)

        self.assertEqual(self.shelf.leave(hold), Swept())

        self.assertIn(version_of(FIRST), self.inside())

    def test_nothing_there(self) -> None:
        """A spool that somebody has emptied is no problem."""
        hold = self.occupy(FIRST)
        shutil.rmtree(self.root)

        self.assertEqual(self.shelf.leave(hold), Swept())

    def test_link(self) -> None:
        """A directory that has become a link is a problem, and is left alone."""
        hold = self.occupy(FIRST)
        place = os.path.join(self.root, "app")
        os.rename(place, place + ".away")
        os.symlink(place + ".away", place)

        (problem,) = self.shelf.leave(hold).problems

        self.assertIn("cannot spool app", problem)
