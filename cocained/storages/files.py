# -*- test-case-name: cocained.test.test_storages -*-
"""
The storage ``files``: blobs in the directories of one file system.

All blocking work runs in a :class:`~cocained.lane.Lane`, in order.  One short
cut exists: while nothing is under way in the lane, a read of a small object
whose bytes are in memory is answered on the spot, which costs a tenth of the
trip through a thread.  It cannot overtake anything, since there is nothing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, TypeVar, TypeVarTuple

import msgspec
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode, IVersionedStorage
from cocained.lane import Lane
from cocained.storages.changes import Changes
from cocained.storages.disk import Disk
from cocained.storages.names import os_refusal, place, take_tags
from cocained.storages.scratch import sweep

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

#: Default of ``max-object``: far above any app archive, far below what makes
#: a node swap.
MAX_OBJECT = 1 << 30

#: Directory entries that the sweep at the start looks at: a few seconds of
#: work in all, and enough for every store that was ever seen.
SWEEP_LIMIT = 200_000

#: Entries of one step of the sweep, and seconds between two steps: requests
#: never wait for more than one step.
SWEEP_STEP = 256
SWEEP_PAUSE = 0.02


class FilesArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the storage type ``files``."""

    path: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Directory of the store, such as /var/lib/cocaine; "
            "created if missing.",
        ),
    ]
    max_object: Annotated[
        int,
        msgspec.Meta(ge=1, description="Bytes of the largest object; default 1 GiB."),
    ] = MAX_OBJECT


@implementer(IVersionedStorage)
class FilesStorage(Component[FilesArgs]):
    """
    Objects as files, tags as directories of links (protocol.md §4.1).

    Better than the original: writes are atomic and durable, names cannot
    leave the root, a failed write leaves the old object whole.

    A write or a removal that was asked for takes place even if its Deferred
    is cancelled; a read or find that has not begun is skipped.
    """

    Args = FilesArgs
    _log = Logger()

    def __init__(self, node: INode, name: str, args: FilesArgs) -> None:
        super().__init__(node, name, args)
        self._disk = Disk(os.path.abspath(node.resolve(args.path)), args.max_object)
        self._lane = Lane(node.reactor, f"storage {name!r}")
        self._changes = Changes(self._run, name)
        self._sweep_call: IDelayedCall | None = None
        self._stopped = False

    @override
    def start(self) -> Deferred[None]:
        """
        Open the store.

        :returns: fires when the root is there; fails with ``ConfigError``.
        """
        self._lane.start()
        return self._lane.run(self._disk.prepare).addCallbacks(
            self._cb_prepared, self._eb_prepared
        )

    def _cb_prepared(self, ignored: None) -> None:
        self._later(sweep(self._disk.root, SWEEP_LIMIT))

    def _eb_prepared(self, failure: Failure) -> None:
        raise ConfigError(
            f"storage {self.name!r} cannot be opened: {failure.getErrorMessage()}",
            path="path",
        ) from failure.value

    @override
    def stop(self) -> Deferred[None]:
        """Fail what waits, and let the operation that is running end."""
        self._stopped = True
        if self._sweep_call is not None:
            self._sweep_call.cancel()
            self._sweep_call = None
        return self._lane.stop()

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        disk = self._disk
        try:
            path = disk.locate(collection, key)
            if disk.can_skip_disk and not self._lane.pending:
                blob = disk.read_cached(path)
                if blob is not None:
                    return succeed(blob)
        except FileNotFoundError:
            where = place(disk.root, collection, key)
            return fail(os_refusal(errno.ENOENT, where))
        except StorageError as error:
            return fail(error)
        return self._run(disk.read, path)

    def version(self, collection: str, key: str) -> Deferred[str]:
        try:
            path = self._disk.locate(collection, key)
        except StorageError as error:
            return fail(error)
        return self._run(self._disk.version, path)

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        try:
            names = take_tags(tags)
        except StorageError as error:
            return fail(error)
        return self._changes.run(
            len(blob), self._disk.write, collection, key, bytes(blob), names
        )

    def remove(self, collection: str, key: str) -> Deferred[None]:
        return self._changes.run(0, self._disk.remove, collection, key)

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        try:
            names = take_tags(tags)
        except StorageError as error:
            return fail(error)
        return self._run(self._disk.find, collection, names)

    def _run(self, function: Callable[[*Ts], T], *args: *Ts) -> Deferred[T]:
        return self._lane.run(function, *args).addErrback(self._eb_only_ours)

    def _eb_only_ours(self, failure: Failure) -> Failure:
        """Keep the promise that nothing but ``StorageError`` comes out."""
        if not isinstance(failure.value, (StorageError, CancelledError)):
            self._log.failure(
                "storage {storage}: an operation broke", failure, storage=self.name
            )
            raise StorageError(
                errno.EIO, f"storage {self.name!r}: {failure.getErrorMessage()}"
            )
        return failure

    def _later(self, walk: Iterator[int]) -> None:
        """Do a step of the sweep soon."""
        if not self._stopped:
            self._sweep_call = self.node.reactor.callLater(
                SWEEP_PAUSE, self._sweep_step, walk
            )

    def _sweep_step(self, walk: Iterator[int]) -> None:
        self._sweep_call = None
        step = self._lane.run(_thd_sweep_step, walk)
        step.addCallback(self._cb_swept, walk)
        step.addErrback(self._eb_swept)

    def _cb_swept(self, progress: tuple[int, bool], walk: Iterator[int]) -> None:
        deleted, is_over = progress
        if not is_over:
            self._later(walk)
        elif deleted:
            self._log.info(
                "storage {storage}: deleted {count} scratch files that a killed "
                "node left behind",
                storage=self.name,
                count=deleted,
            )

    def _eb_swept(self, failure: Failure) -> None:
        # A stopped or overfull lane: the next start sweeps again.
        if not isinstance(failure.value, StorageError):
            self._log.failure(
                "storage {storage}: cannot sweep", failure, storage=self.name
            )


def _thd_sweep_step(walk: Iterator[int]) -> tuple[int, bool]:
    """Go on a little; gives the files deleted so far, and whether it is over."""
    deleted = 0
    for count, seen in enumerate(walk, 1):
        deleted = seen
        if count >= SWEEP_STEP:
            return deleted, False
    return deleted, True
