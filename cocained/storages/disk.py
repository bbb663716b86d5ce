# -*- test-case-name: cocained.test.test_storages -*-
"""
The file system under the storage ``files``: blocking, and free of Twisted.

The layout is the original's (protocol.md §4.1), so that an existing store
opens and the original can read what was written here::

    <root>/<collection>/<key>            the blob
    <root>/<collection>/<tag>/<key>  ->  <root>/<collection>/<key>

A link in a tag directory is only a mark: what counts is that it *is* a link
and that the object of its name exists, wherever the link points.  So absolute
and relative targets do, and a store that was moved keeps its tags.

Which writing of an object is there, :meth:`Disk.version` tells from what the
file system knows of its file.  A writing is a new file under the old name, but the
number of the one before the last may be used again, and a kernel's clock for files
stands still for up to 10 ms.  So a writer sets the time of its file itself, to the
nanosecond.

An object itself is never a link.  One that is found is refused with ``ELOOP``,
since following it could leave the store, and writing through it could change
another object.  Directories may be links: that is how an administrator puts a
collection on another disk.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterable

from cocained.errors import StorageError
from cocained.storages.names import (
    MAX_FOUND,
    RESERVED,
    Intent,
    check_collection,
    check_key,
    check_size,
    os_refusal,
    place,
    take_tags,
)
from cocained.storages.scratch import create_scratch, discard_scratch

#: Bytes up to which :meth:`Disk.read_cached` answers.  Copying more takes
#: longer than a trip through the lane.
CACHED_LIMIT = 65536

#: Collections whose path is remembered for reading.
KNOWN_FOLDERS = 256

#: Objects are opened so: a FIFO must not block, a link must not lead away.
_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

#: What ``preadv`` says on file systems and kernels without ``RWF_NOWAIT``.
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class Disk:
    """
    One store.  Methods block and raise :class:`StorageError`; they belong to
    one thread at a time, except :meth:`read_cached` and :meth:`locate`.

    :param root: absolute path of the store.
    :param max_object: bytes of the largest object.
    """

    def __init__(self, root: str, max_object: int) -> None:
        self.root = root
        self.max_object = max_object
        #: Whether :meth:`read_cached` can work here at all.
        self.can_skip_disk = hasattr(os, "RWF_NOWAIT")
        self._base = _bytes(root)
        self._buffer = memoryview(bytearray(CACHED_LIMIT))
        self._buffers = [self._buffer]
        self._folders: dict[str, bytes] = {}

    # Overridden by tests to stand for a disk with faults.
    _os_write = staticmethod(os.write)
    _os_fsync = staticmethod(os.fsync)

    # Not the reactor's: what is wanted is a number that was never there before.
    _time_ns = staticmethod(time.time_ns)

    def prepare(self) -> None:
        """Create the root if there is none; it must be a directory."""
        try:
            os.makedirs(self._base, exist_ok=True)
            os.close(os.open(self._base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except FileExistsError:
            raise os_refusal(errno.ENOTDIR, place(self.root)) from None
        except OSError as error:
            raise StorageError.from_os_error(error, place(self.root)) from error

    def locate(self, collection: str, key: str) -> bytes:
        """
        Give the path of an object that is to be read, without the disk.

        :raises StorageError: the names are not fit.
        """
        # This runs in the reactor for every read, so it looks no closer at
        # common names than it must; 63 characters are at most 252 bytes.
        folder = self._folders.get(collection)
        if folder is None:
            check_collection(self.root, collection, Intent.READ)
            if len(self._folders) >= KNOWN_FOLDERS:
                self._folders.clear()
            folder = b"%b/%b" % (self._base, _bytes(collection))
            self._folders[collection] = folder
        if (
            not key
            or key[0] == "."
            or "/" in key
            or len(key) > 63
            or not key.isprintable()
        ):
            check_key(self.root, collection, key, Intent.READ)
        return b"%b/%b" % (folder, _bytes(key))

    def read_cached(self, path: bytes) -> bytes | None:
        """
        Read a small object if its bytes are in memory already.

        Safe in the reactor's thread: it never waits for data blocks.  (It
        may wait for a directory that nobody has looked at lately.)

        :param path: from :meth:`locate`.
        :returns: the blob, or ``None`` when only :meth:`read` can tell: a
            large or cold object, or anything out of the ordinary but a
            missing one.
        :raises FileNotFoundError: there is no such object.
        """
        try:
            fd = os.open(path, _READ_FLAGS)
        except FileNotFoundError:
            raise
        except OSError:
            return None
        try:
            status = os.fstat(fd)
            size = status.st_size
            if size > CACHED_LIMIT or not stat.S_ISREG(status.st_mode):
                return None
            if size > self.max_object:
                return None
            if not size:
                return b""
            # A short answer means that the rest is not in memory.
            if os.preadv(fd, self._buffers, 0, os.RWF_NOWAIT) == size:
                return bytes(self._buffer[:size])
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                self.can_skip_disk = False
        finally:
            os.close(fd)
        return None

    def read(self, path: bytes) -> bytes:
        """
        Read an object whole.

        :param path: from :meth:`locate`.
        """
        where = self._where(path)
        try:
            fd = os.open(path, _READ_FLAGS)
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise os_refusal(errno.EISDIR, where)
            if not stat.S_ISREG(status.st_mode):
                raise StorageError(errno.EINVAL, f"{where}: not a regular file")
            check_size(where, status.st_size, self.max_object)
            chunks: list[bytes] = []
            left = status.st_size
            while left and (chunk := os.read(fd, left)):
                chunks.append(chunk)
                left -= len(chunk)
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error
        finally:
            os.close(fd)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def version(self, path: bytes) -> str:
        """
        Say which writing of an object is there.

        :param path: from :meth:`locate`.
        :returns: text that is the same for all who share the file system.
        """
        where = self._where(path)
        try:
            status = os.lstat(path)
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error
        self._check_regular(status.st_mode, where)
        # The change time is the kernel's, and tells of those who write in place
        # and set the other one back, as some programs that copy do.
        return (
            f"{status.st_ino:x}-{status.st_size:x}"
            f"-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}"
        )

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str]
    ) -> None:
        """
        Put an object in place whole and durably, then mark it with its tags.

        Whatever can fail is done before the rename: until then the old object
        and all that can be seen of the new one is untouched.  Should a mark
        itself fail after it, the error says so and the object is the new one;
        the same request again completes it.
        """
        check_collection(self.root, collection, Intent.WRITE)
        check_key(self.root, collection, key, Intent.WRITE)
        names = take_tags(tags)
        for tag in names:
            check_key(self.root, collection, tag, Intent.WRITE)
        where = place(self.root, collection, key)
        check_size(where, len(blob), self.max_object)
        folder = b"%b/%b" % (self._base, _bytes(collection))
        path = b"%b/%b" % (folder, _bytes(key))
        try:
            self._check_object(path, where)
            self._make_collection(collection)
            marks = [
                mark
                for tag in names
                if (mark := self._make_tag(folder, collection, key, tag))
            ]
            self._replace(folder, path, blob)
            for mark in marks:
                os.symlink(path, mark)
            for mark in marks:
                self._sync_folder(os.path.dirname(mark))
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error

    def remove(self, collection: str, key: str) -> None:
        """Delete an object, durably; its tag links stay until a find."""
        check_collection(self.root, collection, Intent.REMOVE)
        if not check_key(self.root, collection, key, Intent.REMOVE):
            return
        where = place(self.root, collection, key)
        folder = b"%b/%b" % (self._base, _bytes(collection))
        path = b"%b/%b" % (folder, _bytes(key))
        try:
            # POSIX lets unlink() say EPERM for a directory; we say EISDIR.
            mode = os.lstat(path).st_mode
            if stat.S_ISDIR(mode):
                raise os_refusal(errno.EISDIR, where)
            if stat.S_ISLNK(mode):
                raise os_refusal(errno.ELOOP, where)
            os.unlink(path)
            self._sync_folder(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error

    def find(self, collection: str, tags: Iterable[str]) -> list[str]:
        """Give the keys with all tags; links without an object are deleted."""
        names = take_tags(tags)
        check_collection(self.root, collection, Intent.FIND)
        fit = [check_key(self.root, collection, t, Intent.FIND) for t in names]
        if not names or not all(fit):
            return []
        folder = b"%b/%b" % (self._base, _bytes(collection))
        exists: dict[bytes, bool] = {}
        found: set[bytes] | None = None
        for tag in names:
            where = place(self.root, collection, tag)
            try:
                alive = self._marked(folder, _bytes(tag), exists, where)
            except (FileNotFoundError, NotADirectoryError):
                return []
            except OSError as error:
                raise StorageError.from_os_error(error, where) from error
            found = alive if found is None else found & alive
        return [name.decode("utf-8", "surrogateescape") for name in sorted(found or ())]

    def _where(self, path: bytes) -> str:
        return place(path.decode("utf-8", "surrogateescape"))

    def _check_object(self, path: bytes, where: str) -> None:
        """An object can only be put where there is none or a regular file."""
        try:
            mode = os.lstat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            # The collection tells the second case better.
            return
        self._check_regular(mode, where)

    def _check_regular(self, mode: int, where: str) -> None:
        if stat.S_ISDIR(mode):
            raise os_refusal(errno.EISDIR, where)
        if stat.S_ISLNK(mode):
            raise os_refusal(errno.ELOOP, where)
        if not stat.S_ISREG(mode):
            raise StorageError(errno.EINVAL, f"{where}: not a regular file")

    def _make_collection(self, collection: str) -> None:
        """Create the directories of a collection, durably."""
        parent, shown = self._base, self.root
        for part in collection.split("/"):
            path = b"%b/%b" % (parent, _bytes(part))
            shown = f"{shown}/{part}"
            self._make_folder(parent, path, place(shown))
            parent = path

    def _make_folder(self, parent: bytes, path: bytes, where: str) -> None:
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise os_refusal(errno.ENOTDIR, where) from None
            return
        except OSError as error:
            raise StorageError.from_os_error(error, where) from error
        self._sync_folder(parent)

    def _make_tag(
        self, folder: bytes, collection: str, key: str, tag: str
    ) -> bytes | None:
        """
        Create a tag's directory.

        :returns: the link that has to be made, ``None`` if there is one.
        """
        where = place(self.root, collection, tag)
        if tag == key:
            raise os_refusal(errno.ENOTDIR, where)
        path = b"%b/%b" % (folder, _bytes(tag))
        self._make_folder(folder, path, where)
        mark = b"%b/%b" % (path, _bytes(key))
        try:
            mode = os.lstat(mark).st_mode
        except FileNotFoundError:
            return mark
        if stat.S_ISLNK(mode):
            return None
        # An object or tag of the collection "<collection>/<tag>" sits there.
        raise os_refusal(errno.EEXIST, place(self.root, collection, tag, key))

    def _replace(self, folder: bytes, path: bytes, blob: bytes) -> None:
        """Write a scratch file, and give it the name of the object."""
        scratch, fd = create_scratch(folder)
        try:
            view = memoryview(blob)
            while view:
                view = view[self._os_write(fd, view) :]
            now = self._time_ns()
            os.utime(fd, ns=(now, now))
            self._os_fsync(fd)
            # Still open, and so locked: no sweep takes it before the rename.
            os.rename(scratch, path)
        except BaseException:
            discard_scratch(scratch)
            raise
        finally:
            os.close(fd)
        self._sync_folder(folder)

    def _sync_folder(self, folder: bytes) -> None:
        """Make the names in a directory durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._os_fsync(fd)
        except OSError as error:
            # File systems that cannot do it for directories say EINVAL.
            if error.errno != errno.EINVAL:
                raise
        finally:
            os.close(fd)

    def _marked(
        self, folder: bytes, tag: bytes, exists: dict[bytes, bool], where: str
    ) -> set[bytes]:
        """Give the names that a tag directory marks and that have an object."""
        alive: set[bytes] = set()
        reserved = _bytes(RESERVED)
        with os.scandir(b"%b/%b" % (folder, tag)) as entries:
            for entry in entries:
                name = entry.name
                if not entry.is_symlink() or name.startswith(reserved):
                    continue
                if name not in exists:
                    exists[name] = self._is_object(b"%b/%b" % (folder, name))
                if exists[name]:
                    alive.add(name)
                    if len(alive) > MAX_FOUND:
                        raise StorageError(
                            errno.EOVERFLOW,
                            f"{where}: more than {MAX_FOUND} objects have this "
                            "tag; use more tags that are narrower",
                        )
                else:
                    self._forget(entry.path)
        return alive

    def _is_object(self, path: bytes) -> bool:
        try:
            return stat.S_ISREG(os.lstat(path).st_mode)
        except FileNotFoundError:
            return False

    def _forget(self, mark: bytes) -> None:
        """Delete a dangling link; on a read-only disk it simply stays."""
        try:
            os.unlink(mark)
        except OSError:
            return
