# -*- test-case-name: cocained.test.test_unicorns_journal -*-
"""
The file that keeps a tree for good (decision 0011).

::

    journal = record*                     each: length, CRC-32, payload
    record  = [MARK, 1]                   the first
            | [[path, data, version, children, sequence, ephemeral]…]

A record is the states of all nodes that one change touches, so that it happens
whole or not at all.  A journal that has become long is written anew with one
record for each node, beside the old one, and then takes its name.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgpack

from cocained.errors import UnicornError
from cocained.unicorns.paths import PATH_LIMIT
from cocained.unicorns.tree import State, Tree
from cocained.unicorns.values import VALUE_LIMIT

MARK = "cocained unicorn"
FORMAT = 1

JOURNAL, SCRATCH, LOCK = "journal", "journal.new", "lock"

#: Most bytes of a record: a node and the one above it, and a little around.
RECORD_LIMIT = 2 * (VALUE_LIMIT + PATH_LIMIT) + 256

#: Bytes up to which a journal is not written anew, so that this does not happen
#: for every few changes of a small tree.
COMPACT_MIN = 1 << 20

#: How often a journal may be as long as when it was last written anew.
COMPACT_RATIO = 4

#: What no version and no number of a sequence gets to; a little less than what
#: msgpack has room for.
COUNT_LIMIT = 1 << 62

_HEAD = struct.Struct(">II")


class Journal:
    """
    One directory with a journal.  Methods block, and belong to one thread.

    :param folder: absolute path; made if it is missing.
    :param tree: what the journal tells goes into it.

    :ivar problem: what went wrong and has not been set right; for operators.
    :ivar torn: bytes at the end that were no whole record when it was opened.
    """

    def __init__(self, folder: str, tree: Tree) -> None:
        self.folder = folder
        self.problem = ""
        self.torn = 0
        self._tree = tree
        self._path = os.path.join(folder, JOURNAL)
        self._fd = -1
        self._lock = -1
        self._size = 0
        self._compact_at = COMPACT_MIN
        # The end of the file is not what has been acknowledged.
        self._spoilt = False

    # Overridden by tests to stand for a disk with faults.
    _os_write = staticmethod(os.write)
    _os_fsync = staticmethod(os.fsync)
    _os_ftruncate = staticmethod(os.ftruncate)

    # Opening

    def open(self) -> None:
        """
        Fill the tree, and be ready for changes.

        Ephemeral nodes are gone: they ended with the process that made them.

        :raises UnicornError: it cannot be used; the text says why.
        """
        try:
            os.makedirs(self.folder, mode=0o755, exist_ok=True)
            self._take_lock()
            if os.path.exists(self._path):
                self._load()
            for path in self._tree.ephemeral():
                self._tree.apply(self._tree.delete(path, -1).states)
            self._rewrite()
        except OSError as error:
            self.close()
            raise self._refusal(error) from error
        except UnicornError:
            self.close()
            raise

    def _take_lock(self) -> None:
        path = os.path.join(self.folder, LOCK)
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise
            raise UnicornError(
                f"{self.folder} is in use by another process; give each node a"
                " directory of its own"
            ) from error

    def _load(self) -> None:
        with open(self._path, "rb") as file:
            data = file.read()
        first = _frame([MARK, FORMAT])
        if not data.startswith(first):
            if first.startswith(data):
                self.torn = len(data)
                return
            raise UnicornError(
                f"{self._path} is no journal of this version; move it away"
            )
        at = len(first)
        while at < len(data):
            end, payload = _record(data, at)
            if payload is None:
                self._check_tear(data, at, end)
                self.torn = len(data) - at
                return
            try:
                self._tree.apply(_states(payload))
            except (UnicornError, ValueError, TypeError) as error:
                raise self._damage(at) from error
            at = end

    def _check_tear(self, data: bytes, at: int, end: int) -> None:
        """
        See that what is at the end of the journal may be a change that a crash
        cut off: nobody was told that it had happened.

        :raises UnicornError: something good is behind it.
        """
        if end < len(data) and _record(data, end)[1] is not None:
            raise self._damage(at)

    def _damage(self, at: int) -> UnicornError:
        return UnicornError(
            f"{self._path} is damaged at byte {at}, and good records follow; look for"
            " a bad disk, and restore the file or move it away"
        )

    def close(self) -> None:
        """Let the directory go."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1

    # Changes

    def note(self, states: list[State]) -> None:
        """
        Keep a change.

        :raises UnicornError: it could not be kept; nothing that was kept before
            is lost.
        """
        if self._fd < 0:
            raise UnicornError(f"{self._path} is closed")
        problem = ""
        try:
            if self._spoilt:
                self._rewrite()
            elif self._size >= self._compact_at:
                problem = self._compact()
            self._append(_frame([list(state) for state in states]))
        except OSError as error:
            refusal = self._refusal(error)
            self.problem = refusal.reason
            raise refusal from error
        self.problem = problem

    def _append(self, record: bytes) -> None:
        # Until it is said that all went well, the end of the file is not what
        # has been acknowledged.
        self._spoilt = True
        try:
            _write_all(self._os_write, self._fd, record)
        except OSError:
            self._os_ftruncate(self._fd, self._size)
            self._spoilt = False
            raise
        # After a failure of this nobody knows what the disk has: all is written
        # anew before the next change.
        self._os_fsync(self._fd)
        self._size += len(record)
        self._spoilt = False

    def _compact(self) -> str:
        """Write the journal anew; say what is wrong if that cannot be done now."""
        try:
            self._rewrite()
        except OSError as error:
            if self._spoilt:
                raise
            self._compact_at = self._size + COMPACT_MIN
            return f"the journal grows: {self._refusal(error)}"
        return ""

    def _rewrite(self) -> None:
        """Write a fresh journal of the tree in place of the old one."""
        scratch = os.path.join(self.folder, SCRATCH)
        # To append means to go on where a failed change was cut off.
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(scratch, flags, 0o644)
        try:
            size = 0
            for record in _records(self._tree):
                _write_all(self._os_write, fd, record)
                size += len(record)
            self._os_fsync(fd)
            os.rename(scratch, self._path)
        except OSError:
            os.close(fd)
            raise
        # Which of the two files a loss of power leaves is open until the end.
        self._spoilt = True
        old, self._fd = self._fd, fd
        self._size = size
        self._compact_at = max(COMPACT_MIN, COMPACT_RATIO * size)
        if old >= 0:
            os.close(old)
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._os_fsync(folder)
        finally:
            os.close(folder)
        self._spoilt = False

    def _refusal(self, error: OSError) -> UnicornError:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return UnicornError(f"{self._path}: {reason}")


def _records(tree: Tree) -> Iterator[bytes]:
    yield _frame([MARK, FORMAT])
    for state in tree:
        yield _frame([list(state)])


def _frame(payload: list[Any]) -> bytes:
    packed: bytes = msgpack.packb(payload)
    return _HEAD.pack(len(packed), zlib.crc32(packed)) + packed


def _record(data: bytes, at: int) -> tuple[int, bytes | None]:
    """
    Look at the record that begins at *at*.

    :returns: where the next begins, and the payload; ``None`` if it is none.
    """
    begin = at + _HEAD.size
    if begin > len(data):
        return len(data), None
    length, checksum = _HEAD.unpack_from(data, at)
    end = begin + length
    if not 0 < length <= RECORD_LIMIT or end > len(data):
        return len(data), None
    payload = data[begin:end]
    return end, payload if zlib.crc32(payload) == checksum else None


def _states(payload: bytes) -> list[State]:
    """
    Read the states of a record.

    :raises ValueError, TypeError: there are none in it.
    """
    states = [State(*fields) for fields in msgpack.unpackb(payload)]
    for path, data, *numbers, ephemeral in states:
        if type(path) is not str or not isinstance(data, bytes | None):
            raise TypeError("no state of a node")
        if path and not (path[0] == "/" and all(path[1:].split("/"))):
            raise ValueError("no path of a node")
        if type(ephemeral) is not bool:
            raise TypeError("no state of a node")
        for number in numbers:
            if type(number) is not int or not 0 <= number < COUNT_LIMIT:
                raise ValueError("no count of a node")
    return states


def _write_all(write: Callable[[int, memoryview], int], fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[write(fd, view) :]
