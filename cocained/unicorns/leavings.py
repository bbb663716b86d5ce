# -*- test-case-name: cocained.test.test_unicorns_ensemble -*-
"""
Nodes of locks that are to go, whatever happens to the connection.

A session that survives a broken connection keeps its ephemeral nodes, and with
them locks that nobody holds any more.  So what could not be deleted is deleted
as soon as there is a connection; and where the answer to a creation was lost,
the queue is searched for nodes that are this session's and nobody's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from cocained.errors import ConnectionLoss, NoNode, UnicornBusy, UnicornError
from cocained.interfaces import IReactor
from cocained.unicorns.paths import parent

if TYPE_CHECKING:
    from cocained.unicorns.ensemble import EnsembleKeeper

log = Logger()

#: Seconds until a deletion is tried again that was not answered.
RETRY = 1.0


class Leavings:
    """
    What one session has to clean up.  All paths are in full.

    :param reactor: gives the time.
    :param name: of the unicorn, for the log.
    :param keeper: does the work.
    """

    def __init__(self, reactor: IReactor, name: str, keeper: EnsembleKeeper) -> None:
        self._reactor = reactor
        self._name = name
        self._keeper = keeper
        #: nodes that somebody has
        self._ours: set[str] = set()
        #: nodes that are to go; true while that is under way
        self._going: dict[str, bool] = {}
        #: paths, without their digits, of nodes of which nobody knows
        self._unsure: set[str] = set()
        self._retry: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._going) + len(self._unsure)

    def made(self, path: str) -> None:
        """A node has been made for somebody."""
        self._ours.add(path)

    def maybe_made(self, path: str) -> None:
        """The answer to the creation of a sequence node is lost."""
        self._unsure.add(path)
        if self._keeper.is_live:
            self._search_all()

    def release(self, path: str) -> None:
        """Delete a node for sure."""
        self._ours.discard(path)
        self._going.setdefault(path, False)
        self._delete(path)

    def forget(self) -> None:
        """The session has ended, and all its nodes with it."""
        self._ours.clear()
        self._going.clear()
        self._unsure.clear()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def collect(self) -> None:
        """There is a connection: do what could not be done without."""
        for path in list(self._going):
            self._going[path] = False
            self._delete(path)
        self._search_all()

    # Deleting

    def _delete(self, path: str) -> None:
        # Without a connection there is nothing to do yet, see collect().
        if self._going.get(path) is not False or not self._keeper.is_live:
            return
        self._going[path] = True
        deleted = self._keeper.ask(
            lambda client: client.delete_async(path, -1), lambda answer: None
        )
        deleted.addCallback(lambda ignored: self._going.pop(path, None))
        deleted.addErrback(self._not_deleted, path)

    def _not_deleted(self, failure: Failure, path: str) -> None:
        if failure.check(ConnectionLoss, UnicornBusy) and path in self._going:
            self._going[path] = False
            self._later()
            return
        self._going.pop(path, None)
        if not failure.check(NoNode, ConnectionLoss, UnicornBusy):
            log.error(
                "unicorn {unicorn}: {path}, a lock that nobody holds, cannot be"
                " removed: {error}",
                unicorn=self._name,
                path=path,
                error=failure.getErrorMessage(),
            )

    def _later(self) -> None:
        if self._retry is None:
            self._retry = self._reactor.callLater(RETRY, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._keeper.is_live:
            # Without a connection it begins anew with the next one.
            return
        for path in list(self._going):
            self._delete(path)
        self._search_all()

    # Searching

    def _search_all(self) -> None:
        unsure, self._unsure = self._unsure, set()
        for path in unsure:
            self._search(path)

    def _search(self, path: str) -> None:
        # Asked for before anything else: what is made later is not listed.
        known = self._ours | self._going.keys()
        folder = parent(path)
        names: Deferred[list[str]] = self._keeper.ask(
            lambda client: client.get_children_async(folder), list
        )

        async def look() -> None:
            session = self._keeper.session()
            for name in await names:
                node = f"{folder}/{name}"
                if node.startswith(path) and node not in known:
                    if await self._owner(node) == session:
                        self.release(node)

        Deferred.fromCoroutine(look()).addErrback(self._not_found, path)

    def _owner(self, node: str) -> Deferred[int]:
        return self._keeper.ask(
            lambda client: client.exists_async(node),
            lambda stat: 0 if stat is None else stat.ephemeralOwner,
        )

    def _not_found(self, failure: Failure, path: str) -> None:
        failure.trap(UnicornError)
        if not failure.check(NoNode):
            self._unsure.add(path)
            self._later()
