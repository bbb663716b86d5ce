# -*- test-case-name: cocained.test.test_isolates_claims -*-
"""
Directories that belong to a running node, and those that a dead one left.

The owner holds a shared lock on its directory.  The kernel lets go of it with
the process, however that ends; so a directory of ours without a lock is
nobody's, and this holds across containers, where process ids say nothing.
Works on any file system with ``flock``, that of cgroups included.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

#: Attempts to make and lock a directory.  Only a sweep in another process, at
#: the same moment, can spoil one.
ATTEMPTS = 5


def claim(path: str, mode: int = 0o755) -> int:
    """
    Make a directory, unless it is there, and lock it as in use.

    Waits while another process sweeps it: runs in a thread.

    :param path: absolute; what is above it exists.
    :returns: a descriptor; closing it gives the directory up.
    :raises OSError: it cannot be made or locked.
    """
    for _ in range(ATTEMPTS):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
        descriptor = enter(path)
        if descriptor is not None:
            return descriptor
    raise OSError(errno.EBUSY, "is removed over and over by another process", path)


def enter(path: str) -> int | None:
    """
    Lock a directory as in use, if it is there.

    Waits while somebody removes it: runs in a thread.

    :returns: a descriptor, as :func:`claim`; ``None`` if there is no directory,
        or no longer.
    :raises OSError: it cannot be locked.
    """
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if _is_still(path, descriptor):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextlib.contextmanager
def abandoned(path: str) -> Iterator[bool]:
    """
    See whether nobody uses a directory, and keep it so meanwhile.

    :param path: a directory that some process has claimed once.
    """
    try:
        descriptor = _open(path)
    except (FileNotFoundError, NotADirectoryError):
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield _is_still(path, descriptor)
    finally:
        os.close(descriptor)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _is_still(path: str, descriptor: int) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))
