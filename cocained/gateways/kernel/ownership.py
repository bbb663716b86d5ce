# -*- test-case-name: cocained.test.test_gateways_kernel_ownership -*-
"""
Which entries of the kernel are a node's own, also after it was killed.

The identity of a gateway is made of the node's directory of sockets and of the
gateway's name: another run of the same node has the same.  A lock keeps two
that run at one time apart.  The kernel's entries end with the machine's run, so
what was written during another one counts for nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from cocained.errors import CocainedError, StorageError
from cocained.gateways.kernel.plan import Endpoint

#: Changes with each start of the machine.
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

#: Bytes of a file of ours: 65,536 ports of two addresses fit in.
FILE_LIMIT: Final = 8 * 1024 * 1024


class _Remembered(msgspec.Struct):
    """What the file holds."""

    boot: str
    virtuals: list[tuple[str, int]]


class Ownership:
    """
    The entries of one gateway.

    :param directory: that of the node's sockets.
    :param name: of the gateway.

    :ivar identity: eight hexadecimal digits.
    :ivar virtuals: the virtual services that are, or may be, in the kernel.
    """

    def __init__(self, directory: str, name: str, boot_id: Path = BOOT_ID) -> None:
        path = os.path.abspath(directory)
        digest = hashlib.sha256(f"{path}\0{name}".encode("utf-8", "surrogateescape"))
        self.identity = digest.hexdigest()[:8]
        self._directory = path
        self._path = Path(path, f"balancer-{self.identity}.json")
        self._lock_path = self._path.with_suffix(".lock")
        self._boot_id = boot_id
        self._lock: int | None = None
        self.virtuals: set[Endpoint] = set()

    def take(self) -> None:
        """
        Be the only one, and learn what a former run has left; blocks shortly.

        :raises CocainedError: another process has it, or the file is no good.
        """
        try:
            lock = os.open(
                self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise StorageError.from_os_error(error, str(self._lock_path)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise CocainedError(
                f"another node balances in {self._directory}; give each node a"
                " paths.runtime of its own"
            ) from None
        try:
            self._boot = self._boot_id.read_text().strip()
            self.virtuals = self._read()
        except BaseException:
            # What could not be read is not ours to remove.
            os.close(lock)
            raise
        self._lock = lock

    def _read(self) -> set[Endpoint]:
        try:
            with self._path.open("rb") as file:
                found = msgspec.json.decode(file.read(FILE_LIMIT), type=_Remembered)
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise StorageError.from_os_error(error, str(self._path)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CocainedError(
                f"{self._path} is no list of virtual services: {error}; compare it"
                " with the output of ipvsadm -S -n, and remove it"
            ) from error
        return set(found.virtuals) if found.boot == self._boot else set()

    def remember(self, virtuals: Iterable[Endpoint]) -> None:
        """
        Write down what is ours from now on, before it is so; blocks shortly.

        A crash of this process loses nothing.  One of the machine may, and
        takes the kernel's entries along.

        :raises StorageError: it cannot be written.
        """
        wanted = set(virtuals)
        if wanted == self.virtuals:
            return
        blob = msgspec.json.encode(_Remembered(self._boot, sorted(wanted)))
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(blob)
            temporary.replace(self._path)
        except OSError as error:
            raise StorageError.from_os_error(error, str(self._path)) from error
        self.virtuals = wanted

    def release(self) -> None:
        """
        Let another process have it; nothing is left if nothing is ours.

        :raises StorageError: there is, and it cannot be removed.
        """
        if self._lock is None:
            return
        # The file of the lock stays: who waits for it must not lock a ghost.
        lock, self._lock = self._lock, None
        try:
            if not self.virtuals:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError.from_os_error(error, str(self._path)) from error
        finally:
            os.close(lock)
