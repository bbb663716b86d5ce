# -*- test-case-name: cocained.test.test_isolates_shelf -*-
"""
Versions of an app's code that are in use, and stay while they are.

Who uses a version has a lock on its directory, which others may share, and what
is locked is not removed.  So several releases of an app, or several nodes, can use
one spool.  The system lets go of the locks of a process that was killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

from cocained.errors import SpoolError
from cocained.isolates.claims import enter
from cocained.isolates.spool import (
    ATTEMPTS,
    Progress,
    Spool,
    Swept,
    locked,
)


class Hold:
    """
    A version in use; it stays until :meth:`Shelf.leave`, or until the process
    ends.

    :param directory: of the version; absolute.
    :param lock: descriptor with a shared lock on it.
    """

    def __init__(self, directory: str, lock: int) -> None:
        self.directory = directory
        self._lock: int | None = lock

    def let_go(self) -> None:
        """Need it no more; again does no harm."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


class Shelf(Spool):
    """The unpacked code of one app, with locks on what is in use."""

    def occupy(
        self,
        archive: bytes,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Hold:
        """
        Do as :meth:`prepare` does, and see that the version stays.

        Runs in a thread.

        :returns: to be given back with :meth:`leave`.
        :raises SpoolError: as :meth:`prepare` has it.
        """
        for _ in range(ATTEMPTS):
            directory = self.prepare(archive, progress, cancelled)
            with self.failures():
                lock = enter(directory)
            if lock is not None:
                return Hold(directory, lock)
        raise SpoolError(
            f"the code of app {self.app!r} is removed over and over", errno.EBUSY
        )

    def leave(self, hold: Hold) -> Swept:
        """
        Use a version no more, and remove it if another one is in use instead.

        Runs in a thread.  The last one that was used stays, for the next start.

        :returns: as :meth:`cleanup`.
        """
        hold.let_go()
        name = os.path.basename(hold.directory)
        try:
            with self.failures():
                others = self.ours() - {name}
                if any(map(self._is_used, others)):
                    return self.sweep([name])
        except SpoolError as error:
            return Swept(problems=(error.reason,))
        return Swept()

    def _is_used(self, name: str) -> bool:
        if name.startswith("."):
            return False
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            lock = locked(os.path.join(self.directory, name))
            if lock is None:
                return True
            os.close(lock)
        return False
