# -*- test-case-name: cocained.test.test_unicorns_files -*-
"""
The unicorn ``files``: for a node alone, without any server.

What is changed is on the disk before anybody is told.  Ephemeral nodes and locks
end with the process, in whatever way it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.errors import ConfigError, ConnectionLoss, StorageError, UnicornError
from cocained.interfaces import INode, IReporter, IUnicorn
from cocained.lane import STOP_TIMEOUT, Lane
from cocained.unicorns.base import KeeperUnicorn
from cocained.unicorns.journal import Journal
from cocained.unicorns.local import LocalKeeper
from cocained.unicorns.tree import TOTAL_LIMIT, Tree

log = Logger()

T = TypeVar("T")


class FilesArgs(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"
):
    """Arguments of the unicorn type ``files``."""

    path: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="Directory of the journal, such as"
            " /var/lib/cocaine-unicorn; created if missing. Not one of a storage.",
        ),
    ]
    max_total: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="Bytes of all nodes; they are kept in memory, too; default 64"
            " MiB.",
        ),
    ] = TOTAL_LIMIT


@implementer(IUnicorn, IReporter)
class FilesUnicorn(KeeperUnicorn[FilesArgs]):
    """A tree in memory with a journal on the disk."""

    Args = FilesArgs

    def __init__(self, node: INode, name: str, args: FilesArgs) -> None:
        super().__init__(node, name, args)
        tree = Tree(args.max_total)
        self._journal = Journal(os.path.abspath(node.resolve(args.path)), tree)
        self._lane = Lane(node.reactor, f"unicorn {name!r}")
        self.keeper: LocalKeeper = LocalKeeper(
            node.reactor, tree, self._journal, self._run
        )

    @override
    def start(self) -> Deferred[None]:
        """
        Read the journal.

        :returns: fires when it has been read; fails with ``ConfigError``.
        """
        self._lane.start()
        return self._lane.run(self._journal.open).addCallbacks(
            self._cb_opened, self._eb_opened
        )

    def _cb_opened(self, ignored: None) -> None:
        if self._journal.torn:
            log.warn(
                "unicorn {unicorn}: the last change before a crash was not complete,"
                " and nobody was told of it; {count} bytes are cut off",
                unicorn=self.name,
                count=self._journal.torn,
            )

    def _eb_opened(self, failure: Failure) -> None:
        raise ConfigError(
            f"unicorn {self.name!r} cannot be opened: {failure.getErrorMessage()}",
            path="path",
        ) from failure.value

    @override
    def stop(self) -> Deferred[None]:
        """End all scopes, keep what has been asked for, and let go of the disk."""
        self.keeper.close()
        closed = self._lane.run(self._journal.close)
        closed.addTimeout(STOP_TIMEOUT, self.node.reactor)
        # Not started, or a disk that hangs: there is nobody to wait for.
        closed.addErrback(lambda failure: None)
        return closed.addCallback(lambda ignored: self._lane.stop())

    def report(self) -> Mapping[str, Any]:
        return {"problem": self._journal.problem, "path": self._journal.folder}

    def _run(self, function: Callable[[], T]) -> Deferred[T]:
        return self._lane.run(function).addErrback(self._eb_lane)

    def _eb_lane(self, failure: Failure) -> Failure:
        """Make the errors of the lane those of a unicorn."""
        if isinstance(failure.value, StorageError):
            raise ConnectionLoss(failure.value.reason) from failure.value
        if not isinstance(failure.value, UnicornError | CancelledError):
            log.failure("unicorn {unicorn}: a change broke", failure, unicorn=self.name)
            raise UnicornError(f"unicorn {self.name!r}: {failure.getErrorMessage()}")
        return failure
