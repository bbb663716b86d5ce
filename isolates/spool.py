# -*- test-case-name: cocained.test.test_isolates_spool -*-
"""
Turns app archives into directories of runnable code (protocol.md §11.2).

::

    <root>/<app>/<version>                       whole, named by its content
    <root>/<app>/.<version>.partial-<random>     being made, or to be removed

A version appears by one rename and goes away by another, and what it holds
has reached the disk before: whatever happens to the process or the machine, a
directory under its final name is complete.  So it is used as it is found.

What is locked is not removed: what is being made or used (`shelf.py`).

The original empties ``<root>/<app>`` and unpacks there, which takes the code
from under workers that still run and leaves half of it after a crash.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from cocained.errors import SpoolError
from cocained.isolates.archive.members import (
    Member,
    SpoolLimits,
    disk_error,
    show,
    unrecognized,
)
from cocained.isolates.archive.streams import (
    CODECS,
    Source,
    Tick,
    decompressed,
    plain,
)
from cocained.isolates.archive.tars import BLOCK, ceiling, is_tar, tar_members
from cocained.isolates.archive.tree import MAX_PART, Tree
from cocained.isolates.archive.zips import is_zip, zip_members

__all__ = ["Spool", "SpoolLimits", "Swept", "unwrap", "version_of"]

#: Hex digits of a version: 128 bits, as many as nobody finds a collision for.
VERSION_DIGITS = 32

#: Bytes hashed between two looks at a cancel: some ten milliseconds.
HASH_CHUNK = 16 * 1024**2

#: Attempts to make a partial directory.  Only a cleanup of the same app that
#: runs at the same moment, in another process, can spoil one.
ATTEMPTS = 5

#: Names that are ours, and so may be removed.
OURS = re.compile(
    rf"[0-9a-f]{{{VERSION_DIGITS}}}|\.[0-9a-f]{{{VERSION_DIGITS}}}\.partial-[0-9a-f]+"
)

#: Bytes of the length that follows a msgpack marker: str and bin, 8 to 32.
LENGTH_SIZES = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Swept:
    """
    What :meth:`Spool.cleanup` did.

    :ivar removed: names of versions and partial directories, sorted.
    :ivar problems: one sentence for each that could not be removed.
    """

    removed: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def version_of(archive: bytes, cancelled: Callable[[], bool] | None = None) -> str:
    """
    Name the version that *archive* unpacks to.

    :raises SpoolError: ``ECANCELED``, if *cancelled* says so.
    """
    digest = hashlib.sha256()
    view = memoryview(archive)
    for start in range(0, len(view), HASH_CHUNK):
        if cancelled is not None and cancelled():
            raise _gave_up()
        digest.update(view[start : start + HASH_CHUNK])
    return digest.hexdigest()[:VERSION_DIGITS]


def unwrap(blob: bytes) -> bytes:
    """
    Take the archive out of what the storage holds in ``apps``.

    The official tool stores a msgpack raw string ("doubly packed",
    protocol.md §12.7); str and bin of any size and a bare archive will do.
    Copies the content once, so for large blobs it belongs into the thread.

    :param blob: the stored bytes.
    :returns: the archive, not yet looked at beyond its first bytes.
    :raises SpoolError: the string is cut off or something follows it.
    """
    if not blob or _recognize(blob) is not None:
        return blob
    marker = blob[0]
    if 0xA0 <= marker <= 0xBF:
        begin, length = 1, marker & 0x1F
    elif marker in LENGTH_SIZES:
        begin = 1 + LENGTH_SIZES[marker]
        length = int.from_bytes(blob[1:begin], "big")
    else:
        return blob
    if begin > len(blob) or len(blob) - begin != length:
        raise SpoolError(
            f"the stored archive should have {length} bytes"
            f" but has {max(len(blob) - begin, 0)}; upload the app again",
            errno.EBADMSG,
        )
    return blob[begin:]


class Spool:
    """
    The unpacked code of one app, all versions of it.

    Everything here blocks and runs in a thread.  Calls for one app may
    overlap, in this process or in another.

    :param root: directory of all apps; made if it is missing.
    :param app: name of the app.
    :param limits: what an archive may ask for.
    :raises SpoolError: no directory can have that name.
    """

    #: Makes what writes the members; for tests of failing disks.
    tree: Callable[[str, SpoolLimits], Tree] = Tree

    def __init__(self, root: str, app: str, limits: SpoolLimits | None = None) -> None:
        _check_app(app)
        self.app = app
        self.limits = SpoolLimits() if limits is None else limits
        self.directory = os.path.join(os.path.abspath(root), app)

    def prepare(
        self,
        archive: bytes,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> str:
        """
        Unpack *archive*, unless that has been done before.

        Runs in a thread.  Whatever fails, nothing stays behind.

        :param archive: tar, plain or with gzip, bzip2 or xz, or zip, told
            apart by their content; see :func:`unwrap`.
        :param progress: called with the bytes of the archive that are done
            and those it has, in the thread; at last with both the same.
        :param cancelled: asked in the thread, at least once per 256 KiB,
            whether to give up.
        :returns: the absolute directory ``<root>/<app>/<version>``.
        :raises SpoolError: ``EILSEQ`` if it is no archive (N9), ``EBADMSG`` if
            it is damaged, ``EFBIG`` and ``ENAMETOOLONG`` beyond a limit,
            ``ECANCELED`` if cancelled, ``EINVAL`` for members that are
            refused, else the code of what the disk said.
        """

        def tick(done: int) -> None:
            if cancelled is not None and cancelled():
                raise _gave_up()
            if progress is not None:
                progress(min(done, len(archive)), len(archive))

        version = version_of(archive, cancelled)
        final = os.path.join(self.directory, version)
        if not self._is_there(final):
            with self.failures():
                partial, lock = self._begin(version)
                try:
                    tree = type(self).tree(partial, self.limits)
                    for member in _members(archive, self.limits, tick):
                        tree.add(member)
                    tick(len(archive))
                    self._finish(partial, lock, final)
                finally:
                    # After the rename there is nothing of that name, and the
                    # directory around is not empty.
                    shutil.rmtree(partial, ignore_errors=True)
                    os.close(lock)
                    with contextlib.suppress(OSError):
                        os.rmdir(self.directory)
        if progress is not None:
            progress(len(archive), len(archive))
        return final

    def cleanup(self, keep: Collection[str]) -> Swept:
        """
        Remove old versions and what unfinished work left behind.

        Runs in a thread.  Never follows links, and leaves alone what has no
        name of ours, is in use or is being made right now.

        :param keep: versions in use, by name or as :meth:`prepare` gave them.
        :returns: what was removed and what could not be.
        """
        kept = {os.path.basename(name) for name in keep}
        try:
            with self.failures():
                names = sorted(self.ours() - kept)
        except SpoolError as error:
            return Swept(problems=(error.reason,))
        swept = self.sweep(names)
        if not kept:
            # Fails while anything is in there, which is fine.
            with contextlib.suppress(OSError):
                os.rmdir(self.directory)
        return swept

    def sweep(self, names: Iterable[str]) -> Swept:
        """Remove what is not in use of *names*."""
        removed = []
        problems = []
        for name in names:
            try:
                if self._remove(name):
                    removed.append(name)
            except FileNotFoundError:
                continue  # somebody else was quicker
            except (OSError, RecursionError) as error:
                problems.append(f"cannot remove {name} of app {self.app!r}: {error}")
        return Swept(tuple(removed), tuple(problems))

    def _is_there(self, final: str) -> bool:
        with self.failures():
            try:
                form = os.lstat(final).st_mode
            except FileNotFoundError:
                return False
        if not stat.S_ISDIR(form) or os.path.islink(self.directory):
            raise SpoolError(
                f"{show(os.fsencode(final))} is in the way or behind a link; remove it",
                errno.ENOTDIR,
            )
        return True

    def _begin(self, version: str) -> tuple[str, int]:
        # The lock tells a cleanup that somebody is at work, and goes away with the
        # process.  What is made and not locked yet, a cleanup may take.
        for _ in range(ATTEMPTS):
            os.makedirs(self.directory, mode=0o755, exist_ok=True)
            if os.path.islink(self.directory):
                raise NotADirectoryError(errno.ENOTDIR, "link", self.directory)
            partial = f"{self.directory}/.{version}.partial-{secrets.token_hex(8)}"
            try:
                os.mkdir(partial, 0o700)
                lock = locked(partial)
            except FileNotFoundError:
                continue
            except OSError:
                # A file system without locks, for one.
                shutil.rmtree(partial, ignore_errors=True)
                raise
            if lock is not None:
                return partial, lock
        raise SpoolError(f"{self.directory} is cleaned up over and over", errno.EBUSY)

    def _finish(self, partial: str, lock: int, final: str) -> None:
        os.fchmod(lock, 0o755)
        _sync(lock)
        try:
            os.rename(partial, final)
        except OSError as error:
            # Somebody else unpacked the same code; one is as good as the other.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not self._is_there(final):
                raise

    def ours(self) -> set[str]:
        """Name what is there and may be removed."""
        try:
            if os.path.islink(self.directory):
                raise NotADirectoryError(errno.ENOTDIR, "link", self.directory)
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return set()
        return {name for name in names if OURS.fullmatch(name)}

    def _remove(self, name: str) -> bool:
        place = os.path.join(self.directory, name)
        form = os.lstat(place).st_mode
        if not stat.S_ISDIR(form):
            os.unlink(place)
            return True
        lock = locked(place)
        if lock is None:
            return False
        try:
            if not name.startswith("."):
                # What is half removed must not be found under a final name.
                doomed = f"{self.directory}/.{name}.partial-{secrets.token_hex(8)}"
                os.rename(place, doomed)
                place = doomed
            shutil.rmtree(place)
        finally:
            os.close(lock)
        return True

    @contextlib.contextmanager
    def failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = show(os.fsencode(error.filename or self.directory))
            raise disk_error(
                error, f"cannot spool app {self.app!r}: {place}"
            ) from error


def _check_app(app: str) -> None:
    reason = ""
    try:
        size = len(os.fsencode(app))
    except UnicodeEncodeError:
        size = 0
    if not size or app in (".", ".."):
        reason = "is no name for a directory"
    elif "/" in app or "\0" in app:
        reason = "has a slash or NUL in it"
    elif size > MAX_PART:
        reason = f"is longer than {MAX_PART} bytes"
    if reason:
        shown = show(app.encode("utf-8", "surrogatepass"))
        raise SpoolError(f"app name {shown} {reason}; rename the app")


def _recognize(archive: bytes) -> str | None:
    for codec in CODECS:
        if archive.startswith(codec.magic):
            return codec.name
    if is_zip(archive):
        return "zip"
    return "tar" if is_tar(archive[:BLOCK]) else None


def _members(archive: bytes, limits: SpoolLimits, tick: Tick) -> Iterator[Member]:
    if is_zip(archive):
        return zip_members(archive, limits, tick)
    for codec in CODECS:
        if archive.startswith(codec.magic):
            pieces = decompressed(archive, codec, limits.decoder_memory, tick)
            return tar_members(Source(pieces, ceiling(limits)))
    if is_tar(archive[:BLOCK]):
        return tar_members(Source(plain(archive, tick), ceiling(limits)))
    begin = f"it begins with {archive[:8].hex(' ')}" if archive else "it is empty"
    raise unrecognized(begin)


def locked(directory: str) -> int | None:
    """Give a descriptor with the only lock on a directory, if nobody has one."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _sync(descriptor: int) -> None:
    # One syncfs for the tree: for 3 files 0.3 ms, where an fsync of each and
    # of the directories is 1.1 ms, and for 300 files 11 ms against 94.  It also
    # waits for what others wrote to the same file system.
    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        os.sync()
    elif syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _gave_up() -> SpoolError:
    return SpoolError("unpacking was cancelled", errno.ECANCELED)
