# -*- test-case-name: cocained.test.test_storages_remote -*-
"""
What the storages on servers have in common.

A storage of this kind is a class with a blocking :class:`Connection`, a function
that opens one, and one that translates the driver's errors.  All else is here:
names, order, threads, limits, loss of the server and the return to it.
"""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.component import Component
from cocained.errors import ConfigError, StorageError
from cocained.interfaces import INode, IReporter, IVersionedStorage
from cocained.storages.changes import Changes
from cocained.storages.lines import Lines, Lost
from cocained.storages.names import (
    MAX_FOUND,
    Intent,
    check_collection,
    check_key,
    check_size,
    os_refusal,
    place,
    take_tags,
)
from cocained.storages.order import Order
from cocained.storages.reach import Reach

A = TypeVar("A", bound=msgspec.Struct)
T = TypeVar("T")

#: Bytes of a collection with all its parts.  The tightest of the engines have
#: 1024 for the whole name of an object, a tag and a key included.
MAX_COLLECTION = 1024

#: The place that all changes touch.
_CHANGES = "changes"


class Connection(Protocol):
    """
    One connection to a server; each method blocks, within the time limits of its
    driver, and raises what the driver does.
    """

    def read(self, collection: str, key: str) -> bytes | None:
        """Give a blob, ``None`` if there is none."""

    def write(self, collection: str, key: str, blob: bytes, tags: list[str]) -> None:
        """Put the blob in place, then add the tags."""

    def remove(self, collection: str, key: str) -> None:
        """Delete an object and its tags, if it is there."""

    def find(self, collection: str, tags: list[str]) -> Iterable[str]:
        """Give the keys with all of the tags, at least one; in any order."""

    def version(self, collection: str, key: str) -> str | None:
        """Give the version, ``None`` if there is no object."""

    def ping(self) -> None:
        """See that the server is there and does what is needed."""

    def close(self) -> None:
        """Let go of the server."""

    def interrupt(self) -> None:
        """See :meth:`cocained.storages.lines.Closable.interrupt`."""


#: How many connections there are, each with a thread; an argument of all types.
Threads = Annotated[int, Meta(ge=1, le=64, description="Connections, and threads.")]

#: Likewise, how many operations wait at the most.
MaxLoad = Annotated[
    int,
    Meta(ge=1, le=1_000_000, description="Operations that may wait at one time."),
]


class Work(NamedTuple):
    """How a storage works with its server."""

    #: threads, and so connections
    threads: int
    #: bytes of the largest object
    max_object: int
    #: operations that may wait
    max_load: int
    #: seconds for each operation, connecting included
    timeout: float


@implementer(IVersionedStorage, IReporter)
class RemoteStorage(Component[A]):
    """
    A storage on a server.

    A write or removal that was asked for takes place even if its Deferred is
    cancelled; a read or find that has not begun is skipped.

    :cvar engine: what the server is, for people.
    """

    engine: str
    _log = Logger()

    def __init__(self, node: INode, name: str, args: A, work: Work) -> None:
        super().__init__(node, name, args)
        self._work = work
        self._place = f"<{name}>"
        self._order = Order()
        self._changes = Changes(self._run, name)
        self._lines: Lines[Connection] = Lines(
            node.reactor,
            name,
            work.threads,
            self._connect,
            self._translate,
            work.timeout,
        )
        self._reach = Reach(node.reactor, name, self._attempt)

    @abstractmethod
    def _connect(self) -> Connection:
        """
        Open a connection, and prepare the server if need be; runs in a thread.

        :raises StorageError: it will never work like this.
        :raises Lost: the server cannot be reached now.
        """

    @abstractmethod
    def _translate(self, error: Exception) -> StorageError | None:
        """Make an error of ours of the driver's; runs in a thread."""

    # IComponent

    @override
    def start(self) -> Deferred[None]:
        """
        Connect.

        :returns: fires when the server has answered, or cannot be reached now:
            then the node starts without it, and it is tried again.  Fails with
            ``ConfigError`` for what trying again does not mend.
        """
        self._lines.start()
        return self._attempt().addErrback(self._eb_start)

    def _eb_start(self, failure: Failure) -> None:
        failure.trap(StorageError)
        error = failure.value
        if not isinstance(error, Lost):
            raise ConfigError(str(error)) from error
        self._reach.lost(error)

    @override
    def stop(self) -> Deferred[None]:
        """Fail what waits, let what runs end, and disconnect."""
        self._reach.stop()
        return self._lines.stop()

    # IReporter

    def report(self) -> Mapping[str, Any]:
        problem = self._reach.problem
        return {
            "engine": self.engine,
            "connections": self._lines.connected,
            "waiting": self._order.pending,
            "waiting-bytes": self._changes.waiting_bytes,
            "problem": "" if problem is None else str(problem),
        }

    # IVersionedStorage

    def read(self, collection: str, key: str) -> Deferred[bytes]:
        return self._look(collection, key, lambda at: at.read(collection, key))

    def version(self, collection: str, key: str) -> Deferred[str]:
        return self._look(collection, key, lambda at: at.version(collection, key))

    def write(
        self, collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        try:
            self._check(collection, key, Intent.WRITE)
            names = take_tags(tags)
            for tag in names:
                check_key(self._place, collection, tag, Intent.WRITE)
            where = place(self._place, collection, key)
            check_size(where, len(blob), self._work.max_object)
        except StorageError as error:
            return fail(error)
        copy = bytes(blob)
        return self._change(
            collection,
            key,
            len(copy),
            lambda: self._begin_write(collection, key, copy, names),
        )

    def remove(self, collection: str, key: str) -> Deferred[None]:
        try:
            if not self._check(collection, key, Intent.REMOVE):
                return succeed(None)
        except StorageError as error:
            return fail(error)
        return self._change(
            collection, key, 0, lambda: self._begin_remove(collection, key)
        )

    def find(self, collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        try:
            names = take_tags(tags)
            check_collection(self._place, collection, Intent.FIND)
            fit = [check_key(self._place, collection, t, Intent.FIND) for t in names]
        except StorageError as error:
            return fail(error)
        if not names or not all(fit):
            return succeed([])
        found = self._run(
            [collection],
            lambda: self._ask(lambda at: _sorted(at.find(collection, names))),
        )
        return found.addCallback(self._cb_found, collection, names)

    # How operations are done; a storage in front of another does them otherwise.

    def _begin_write(
        self, collection: str, key: str, blob: bytes, tags: list[str]
    ) -> Deferred[None]:
        return self._ask(lambda at: at.write(collection, key, blob, tags))

    def _begin_remove(self, collection: str, key: str) -> Deferred[None]:
        return self._ask(lambda at: at.remove(collection, key))

    def _check(self, collection: str, key: str, intent: Intent) -> bool:
        check_collection(self._place, collection, intent)
        if len(collection.encode("utf-8", "surrogateescape")) > MAX_COLLECTION:
            raise os_refusal(errno.ENAMETOOLONG, place(self._place, collection, key))
        return check_key(self._place, collection, key, intent)

    def _look(
        self, collection: str, key: str, function: Callable[[Connection], T | None]
    ) -> Deferred[T]:
        """Ask for what a missing object does not have."""
        try:
            self._check(collection, key, Intent.READ)
        except StorageError as error:
            return fail(error)
        looked = self._run([(collection, key)], lambda: self._ask(function))
        return looked.addCallback(self._cb_looked, collection, key)

    def _cb_looked(self, result: T | None, collection: str, key: str) -> T:
        if result is None:
            raise os_refusal(errno.ENOENT, place(self._place, collection, key))
        return result

    def _cb_found(
        self, found: list[str], collection: str, tags: list[str]
    ) -> list[str]:
        if len(found) > MAX_FOUND:
            raise StorageError(
                errno.EOVERFLOW,
                f"{place(self._place, collection, tags[0])}: more than {MAX_FOUND}"
                " objects have these tags; use more tags that are narrower",
            )
        return found

    def _change(
        self,
        collection: str,
        key: str,
        size: int,
        start: Callable[[], Deferred[None]],
    ) -> Deferred[None]:
        places = [(collection, key), collection, _CHANGES]
        return self._changes.run(size, places, start)

    def _run(
        self, places: Iterable[Hashable], start: Callable[[], Deferred[T]]
    ) -> Deferred[T]:
        if self._order.pending >= self._work.max_load:
            return fail(
                StorageError(
                    errno.EAGAIN,
                    f"storage {self.name!r}: {self._work.max_load} operations are"
                    f" waiting, which is the limit; try again later, and look for a"
                    f" slow {self.engine}",
                )
            )
        return self._order.run(places, start)

    def _ask(self, function: Callable[[Connection], T]) -> Deferred[T]:
        """Do something with a connection, unless that is known to be in vain."""
        problem = self._reach.problem
        if problem is not None:
            return fail(StorageError(problem.code, problem.reason))
        return self._lines.run(function).addErrback(self._eb_asked)

    def _eb_asked(self, failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, Lost):
            self._reach.failed(error)
        elif not isinstance(error, (StorageError, CancelledError)):
            return self._broken(failure)
        return failure

    def _broken(self, failure: Failure) -> Failure:
        """Keep the promise that nothing but ``StorageError`` comes out."""
        self._log.failure(
            "storage {storage}: an operation broke", failure, storage=self.name
        )
        return Failure(
            StorageError(
                errno.EIO, f"storage {self.name!r}: {failure.getErrorMessage()}"
            )
        )

    def _attempt(self) -> Deferred[None]:
        return self._lines.run(lambda at: at.ping()).addErrback(self._eb_attempt)

    def _eb_attempt(self, failure: Failure) -> Failure:
        if isinstance(failure.value, StorageError):
            return failure
        return self._broken(failure)


def _sorted(names: Iterable[str]) -> list[str]:
    """Sort names by their bytes; in the thread, since there may be a million."""
    return sorted(set(names), key=lambda name: name.encode("utf-8", "surrogateescape"))
