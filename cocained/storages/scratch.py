# -*- test-case-name: cocained.test.test_storages -*-
"""
Scratch files: where a blob lies until it is whole.

A writer holds a lock on its scratch file, which the system lets go when the
writer's process ends in whatever way.  So the next node can tell what a killed
one left behind from what a living neighbour on the same store is writing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import uuid
from collections.abc import Callable, Iterator

from cocained.storages.names import RESERVED

#: How the names of scratch files begin; no key or tag can.
SCRATCH = os.fsencode(RESERVED + "scratch-")

#: How often a name is tried.  Each failure needs a sweep by another node in
#: the microsecond between creating and locking.
ATTEMPTS = 8

#: What locking says when somebody else has the lock.
_HELD = (errno.EWOULDBLOCK, errno.EACCES)


def _lock(fd: int) -> int:
    """Lock a file; gives 0, or the reason as an ``errno`` value."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno or errno.ENOLCK
    return 0


def create_scratch(
    folder: bytes, lock: Callable[[int], int] = _lock
) -> tuple[bytes, int]:
    """
    Create and lock a scratch file.

    :param folder: of the object that it will become.
    :param lock: locks a descriptor; gives 0 or an ``errno`` value.
    :returns: its path, and a descriptor that the caller closes.
    :raises OSError: as ``open`` does.
    """
    for _ in range(ATTEMPTS):
        path = b"%b/%b%b" % (folder, SCRATCH, uuid.uuid4().hex.encode())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(path, flags, 0o666)
        # Where locks do not work, no sweep can take the file either.
        if lock(fd) not in _HELD and os.fstat(fd).st_nlink:
            return path, fd
        # A sweep had it first and has deleted it.
        os.close(fd)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def discard_scratch(path: bytes) -> None:
    """Delete a scratch file whose writing has failed; never raises."""
    try:
        os.unlink(path)
    except OSError:
        # Its disk may be gone.  The next start sweeps it.
        return


def sweep(root: str, limit: int) -> Iterator[int]:
    """
    Delete what killed writers left behind under *root*, step by step.

    :param limit: directory entries to look at before giving up.
    :returns: after each entry, how many files have been deleted so far.
    """
    deleted = 0
    folders = [os.fsencode(root)]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    if limit <= 0:
                        return
                    limit -= 1
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    elif entry.name.startswith(SCRATCH):
                        deleted += _reclaim(entry.path)
                    yield deleted
        except OSError:
            # Somebody else's directory, or one that just went away.
            continue


def _reclaim(path: bytes) -> bool:
    """Delete a scratch file unless somebody is writing it; whether it was."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or _lock(fd):
            return False
        os.unlink(path)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
