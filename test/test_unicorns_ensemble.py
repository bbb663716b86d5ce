# -*- test-case-name: cocained.test.test_unicorns_ensemble -*-
"""
Tests for :mod:`cocained.unicorns.ensemble` and what it consists of.

kazoo is a double that does what a test tells it; the real one has the live tests.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kazoo import exceptions as kazoo
from kazoo.protocol.states import EventType, KazooState, WatchedEvent
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from cocained.errors import (
    ConnectionLoss,
    NodeExists,
    NoNode,
    UnicornBusy,
    UnicornError,
    VersionNotAllowed,
)
from cocained.testing import PumpedReactor
from cocained.unicorns.ensemble import PENDING_LIMIT, EnsembleKeeper
from cocained.unicorns.keeper import Change, Stat, Watch
from cocained.unicorns.leavings import RETRY
from cocained.unicorns.requests import translated
from cocained.unicorns.watches import LINGER

STAT = SimpleNamespace(version=3, cversion=2, numChildren=1, ephemeralOwner=77)


class FakeResult:
    """What kazoo gives for an operation."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name = name
        self.args = args
        self.value: Any = None
        self.exception: BaseException | None = None
        self._links: list[Callable[[Any], object]] = []

    def rawlink(self, function: Callable[[Any], object]) -> None:
        self._links.append(function)

    def set(self, value: Any) -> None:
        """Answer; in kazoo this happens in a thread."""
        self.value = value
        for link in self._links:
            link(self)

    def fail(self, error: BaseException) -> None:
        self.exception = error
        self.set(None)


class FakeKazoo:
    """A client that remembers what it was asked."""

    client_id = (77, b"")

    def __init__(self) -> None:
        self.results: list[FakeResult] = []
        self.taken_back: list[Any] = []
        self.started = False
        self.refusal: Exception | None = None
        self.handler = SimpleNamespace(async_result=lambda: FakeResult("internal"))
        self._data_watchers: dict[str, Any] = {}
        self._child_watchers: dict[str, Any] = {}
        self.state: Callable[[str], object] = len

    def add_listener(self, listener: Callable[[str], object]) -> None:
        self.state = listener

    def start_async(self) -> None:
        self.started = True

    def _call(self, request: Any, result: Any) -> None:
        self.taken_back.append(request)

    def __getattr__(self, name: str) -> Any:
        if not name.endswith("_async"):
            raise AttributeError(name)

        def ask(*args: Any, **options: Any) -> FakeResult:
            if self.refusal is not None:
                raise self.refusal
            self.results.append(FakeResult(name.removesuffix("_async"), *args))
            return self.results[-1]

        return ask

    @property
    def names(self) -> list[str]:
        """The names of what was asked."""
        return [result.name for result in self.results]


class _EnsembleCase(SynchronousTestCase):
    prefix = ""

    def setUp(self) -> None:
        self.reactor = PumpedReactor()
        self.clients: list[FakeKazoo] = []
        self.disposed: list[Any] = []
        self.changes: list[bool] = []
        reactor: Any = self.reactor
        self.keeper = EnsembleKeeper(
            reactor,
            "core",
            self.make_client,
            self.prefix,
            1.0,
            20.0,
            self.changes.append,
            self.disposed.append,
        )
        self.keeper.start()

    def make_client(self) -> FakeKazoo:
        self.clients.append(FakeKazoo())
        return self.clients[-1]

    @property
    def kazoo(self) -> FakeKazoo:
        """The client that is in use."""
        return self.clients[-1]

    def state(self, state: str) -> None:
        """Let the connection come or go."""
        self.kazoo.state(state)
        self.reactor.pump_ready()

    def connect(self) -> None:
        self.state(KazooState.CONNECTED)

    def answer(self, value: Any, number: int = -1) -> None:
        """Answer an operation, the last one unless it is said."""
        self.kazoo.results[number].set(value)
        self.reactor.pump_ready()

    def refuse(self, error: BaseException, number: int = -1) -> None:
        """Refuse an operation."""
        self.kazoo.results[number].fail(error)
        self.reactor.pump_ready()

    def error_of(self, deferred: Deferred[Any], kind: type[UnicornError]) -> str:
        error = self.failureResultOf(deferred, UnicornError).value
        self.assertIs(type(error), kind)
        return str(error)

    def outcome_of(self, watch: Watch) -> Any:
        """Give what a watch has seen."""
        return self.successResultOf(watch._fired)


class OperationTests(_EnsembleCase):
    """Operations wait for a connection, for their answers, and not for ever."""

    def test_waits_for_connection(self) -> None:
        """What is asked for before there is a connection is asked then, in order."""
        first, second = self.keeper.read("/a"), self.keeper.delete("/b", 1)
        self.assertEqual(self.kazoo.names, [])

        self.connect()

        self.assertEqual(self.kazoo.names, ["get", "delete"])
        self.answer((b"v", STAT), 0)
        self.answer(True, 1)
        self.assertEqual(self.successResultOf(first), (b"v", Stat(3, 2, 1)))
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual(self.keeper.pending, 0)

    def test_answers(self) -> None:
        """Answers are what a keeper gives."""
        self.connect()
        look = self.keeper.look("/a")
        self.answer(None)
        there = self.keeper.look("/a")
        self.answer(STAT)
        names = self.keeper.names("/a")
        self.answer((["x"], STAT))
        made = self.keeper.create("/a", b"")
        self.answer("/a")
        written = self.keeper.write("/a", b"", 2)
        self.answer(STAT)

        self.assertIsNone(self.successResultOf(look))
        self.assertEqual(self.successResultOf(there), Stat(3, 2, 1))
        self.assertEqual(self.successResultOf(names), (["x"], Stat(3, 2, 1)))
        self.assertEqual(self.successResultOf(made), "/a")
        self.assertEqual(self.successResultOf(written), Stat(3, 2, 1))

    def test_errors(self) -> None:
        """Each error of kazoo is one of ours (the last row of the table)."""
        for theirs, ours in (
            (kazoo.NoNodeError, NoNode),
            (kazoo.NodeExistsError, NodeExists),
            (kazoo.BadVersionError, VersionNotAllowed),
            (kazoo.NotEmptyError, UnicornError),
            (kazoo.NoChildrenForEphemeralsError, UnicornError),
            (kazoo.ConnectionLoss, ConnectionLoss),
            (kazoo.SessionExpiredError, ConnectionLoss),
            (kazoo.ConnectionClosedError, ConnectionLoss),
            (kazoo.SessionMovedError, ConnectionLoss),
            (kazoo.NoAuthError, UnicornError),
            (ValueError, UnicornError),
        ):
            self.assertIs(type(translated(theirs())), ours)

    def test_late(self) -> None:
        """An operation has its time, waiting for a connection included."""
        early = self.keeper.read("/a")
        self.reactor.advance(0.6)
        self.connect()
        late = self.keeper.read("/b")
        self.reactor.advance(0.4)

        self.assertIn("within 1 s", self.error_of(early, ConnectionLoss))
        self.assertNoResult(late)
        self.answer((b"", STAT), 0)
        self.answer((b"v", STAT), 1)
        self.successResultOf(late)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_limit(self) -> None:
        """So many operations may wait, and no more."""
        for _ in range(PENDING_LIMIT):
            self.keeper.read("/a").addErrback(lambda failure: None)

        refused = self.keeper.read("/a")

        self.assertIn("4096 operations", self.error_of(refused, UnicornBusy))
        self.reactor.advance(1.0)
        self.assertNoResult(self.keeper.read("/a"))

    def test_given_up(self) -> None:
        """What nobody wants any more is not asked."""
        deferred = self.keeper.write("/a", b"", 1)
        deferred.cancel()
        self.failureResultOf(deferred, CancelledError)

        self.connect()

        self.assertEqual((self.kazoo.names, self.keeper.pending), ([], 0))

    def test_refused_at_once(self) -> None:
        """kazoo may refuse to begin."""
        self.connect()
        self.kazoo.refusal = kazoo.ConnectionClosedError("closed")

        self.error_of(self.keeper.read("/a"), ConnectionLoss)

    def test_connection_lost(self) -> None:
        """What a client has is lost with the connection, answered later or not."""
        self.connect()
        lost = self.keeper.write("/a", b"", 1)

        self.state(KazooState.SUSPENDED)

        self.error_of(lost, ConnectionLoss)
        self.answer(STAT)
        self.assertEqual(self.changes, [True, False])

    def test_closed(self) -> None:
        """After the end nothing is begun, and nothing is waited for."""
        self.connect()
        begun = self.keeper.read("/a")
        self.keeper.names("/a", Watch()).addErrback(lambda failure: None)

        client = self.keeper.close()

        self.assertIs(client, self.kazoo)
        self.error_of(begun, ConnectionLoss)
        self.error_of(self.keeper.read("/a"), ConnectionLoss)
        self.keeper.release("/a")
        self.connect()
        self.answer((b"", STAT), 0)
        self.assertEqual(self.kazoo.names, ["get", "get_children"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class RenewalTests(_EnsembleCase):
    """A client that finds no connection makes room for another."""

    def test_never_connected(self) -> None:
        """It has its time, and then the next has."""
        self.reactor.pump([5.0] * 8)

        self.assertEqual(self.disposed, self.clients[:2])
        self.assertEqual([client.started for client in self.clients], [True] * 3)

    def test_connected(self) -> None:
        """One with a connection stays."""
        self.connect()
        self.reactor.advance(1000)

        self.assertEqual(self.disposed, [])

    def test_lost_and_found(self) -> None:
        """So does one that finds its connection again."""
        self.connect()
        for _ in range(3):
            self.state(KazooState.SUSPENDED)
            self.reactor.advance(19)
            self.connect()

        self.assertEqual(self.disposed, [])

    def test_lost(self) -> None:
        """What the given-up one still says does not count; the next begins anew."""
        self.connect()
        old = self.kazoo
        self.state(KazooState.SUSPENDED)
        self.keeper.release("/l/lock1")
        self.reactor.advance(20)
        old.state(KazooState.CONNECTED)
        self.reactor.pump_ready()
        self.assertFalse(self.keeper.is_live)

        self.connect()

        self.assertTrue(self.keeper.is_live)
        self.assertEqual((old.names, self.kazoo.names), ([], []))

    def test_closed(self) -> None:
        """After the end nothing is begun anew."""
        self.keeper.close()
        self.reactor.advance(100)

        self.assertEqual(len(self.clients), 1)


class PrefixTests(_EnsembleCase):
    """A prefix is made first, and not seen."""

    prefix = "/pre/fix"

    def test_made_first(self) -> None:
        """Nothing is asked below a prefix that is not there yet."""
        made = self.keeper.create("/a", b"")
        self.connect()
        self.assertEqual(self.kazoo.names, ["ensure_path"])

        self.answer(True)

        self.assertEqual(self.kazoo.results[1].args[:1], ("/pre/fix/a",))
        self.answer("/pre/fix/a")
        self.assertEqual(self.successResultOf(made), "/a")

    def test_made_once(self) -> None:
        """It is not made again with each connection."""
        self.connect()
        self.answer(True)
        self.state(KazooState.SUSPENDED)
        self.connect()

        self.assertEqual(self.kazoo.names, ["ensure_path"])
        self.assertTrue(self.keeper.is_live)

    def test_made_again(self) -> None:
        """With a session that is lost the prefix may be lost, too."""
        self.connect()
        self.answer(True)
        self.state(KazooState.LOST)
        self.connect()

        self.assertEqual(self.kazoo.names, ["ensure_path", "ensure_path"])

    def test_connection_lost_meanwhile(self) -> None:
        """The answer of an older connection does not count."""
        self.connect()
        self.state(KazooState.SUSPENDED)
        self.answer(True, 0)

        self.assertFalse(self.keeper.is_live)

    def test_cannot_be_made(self) -> None:
        """That is logged; whoever needs it hears of it."""
        self.connect()
        self.refuse(kazoo.NoAuthError())

        self.assertTrue(self.keeper.is_live)


class WatchTests(_EnsembleCase):
    """Watches are shared, end with the connection, and are taken back."""

    def look(self, path: str = "/a") -> Watch:
        watch = Watch()
        self.keeper.look(path, watch).addErrback(lambda failure: None)
        return watch

    def event(self, number: int, kind: str) -> None:
        """Let kazoo tell of the watch of an operation."""
        self.kazoo.results[number].args[1](WatchedEvent(kind, "", "/a"))
        self.reactor.pump_ready()

    def test_shared(self) -> None:
        """All who look at one thing have one watch of the server."""
        self.connect()
        watches = [self.look(), self.look()]
        first, second = (result.args[1] for result in self.kazoo.results)
        self.assertEqual(first, second)

        self.event(0, EventType.CHANGED)

        for watch in watches:
            self.assertIs(self.outcome_of(watch), Change.WRITTEN)

    def test_once(self) -> None:
        """What looks afterwards is not told of what was before."""
        self.connect()
        self.look()
        self.event(0, EventType.CREATED)
        later = self.look()

        self.event(0, EventType.CHANGED)

        self.assertNoResult(later._fired)

    def test_session_events(self) -> None:
        """What kazoo tells watches of the session is none of their business."""
        self.connect()
        watch = self.look()

        self.event(0, EventType.NONE)

        self.assertNoResult(watch._fired)

    def test_lost(self) -> None:
        """Any trouble with the connection is the end."""
        for state in (KazooState.SUSPENDED, KazooState.LOST):
            self.connect()
            watch = self.look()
            self.state(state)
            self.assertIsInstance(self.outcome_of(watch), ConnectionLoss)

    def test_taken_back(self) -> None:
        """One that nobody has wanted for a while goes at the server, too."""
        self.connect()
        kept, cancelled = self.look("/kept"), self.look("/a")
        cancelled.cancel()
        self.kazoo._data_watchers["/a"] = {"told"}
        self.assertEqual(self.kazoo.taken_back, [])

        self.reactor.advance(LINGER)

        (request,) = self.kazoo.taken_back
        self.assertEqual((request.type, request.path), (18, "/a"))
        self.assertEqual(bytes(request.serialize()), b"\0\0\0\2/a\0\0\0\2")
        request.deserialize(b"", 0)
        self.assertEqual(self.kazoo._data_watchers, {})
        self.assertNoResult(kept._fired)

    def test_wanted_again(self) -> None:
        """One that is wanted again within a moment stays."""
        self.connect()
        self.look().cancel()
        watch = self.look()

        self.reactor.advance(LINGER)

        self.assertEqual(self.kazoo.taken_back, [])
        self.event(1, EventType.DELETED)
        self.assertIs(self.outcome_of(watch), Change.DELETED)

    def test_unknown_to_the_server(self) -> None:
        """The server's answer that there is no such watch is one kazoo knows."""
        self.assertTrue(issubclass(kazoo.EXCEPTIONS[-121], kazoo.ZookeeperError))


class LeavingTests(_EnsembleCase):
    """Nodes of locks go, whatever happens to the connection."""

    def make(self) -> Deferred[str]:
        return self.keeper.create("/l/lock", b"", ephemeral=True, sequence=True)

    def test_released(self) -> None:
        """A node is deleted at once if there is a connection."""
        self.connect()
        self.keeper.release("/l/lock1")
        self.assertEqual(self.kazoo.results[-1].args, ("/l/lock1", -1))
        self.answer(True)

        self.reactor.advance(10)

        self.assertEqual(self.kazoo.names, ["delete"])

    def test_released_without_connection(self) -> None:
        """Otherwise it is the first thing when there is one."""
        self.connect()
        self.state(KazooState.SUSPENDED)
        self.keeper.release("/l/lock1")
        read = self.keeper.read("/a")
        self.connect()

        self.assertEqual(self.kazoo.names[-2:], ["delete", "get"])
        self.assertNoResult(read)

    def test_connection_lost(self) -> None:
        """A deletion that was lost is done again."""
        self.connect()
        self.keeper.release("/l/lock1")
        self.state(KazooState.SUSPENDED)
        self.refuse(kazoo.ConnectionLoss())
        self.connect()
        self.assertEqual(self.kazoo.names, ["delete", "delete"])
        self.refuse(kazoo.NoNodeError())
        self.state(KazooState.SUSPENDED)
        self.connect()

        self.assertEqual(self.kazoo.names, ["delete", "delete"])

    def test_not_answered(self) -> None:
        """One that is not answered is tried again."""
        self.connect()
        self.keeper.release("/l/lock1")
        self.reactor.advance(1.0)
        self.assertEqual(self.kazoo.names, ["delete"])

        self.reactor.advance(RETRY)

        self.assertEqual(self.kazoo.names, ["delete", "delete"])

    def test_refused(self) -> None:
        """One that the server refuses is logged, and not tried for ever."""
        self.connect()
        self.keeper.release("/l/lock1")
        self.refuse(kazoo.NoAuthError())

        self.reactor.advance(10)

        self.assertEqual(self.kazoo.names, ["delete"])

    def test_session_ended(self) -> None:
        """With its session a node goes by itself."""
        self.connect()
        self.state(KazooState.SUSPENDED)
        self.keeper.release("/l/lock1")
        self.state(KazooState.LOST)
        self.connect()

        self.assertEqual(self.kazoo.names, [])

    def test_given_up(self) -> None:
        """A node that nobody wants when it is there is deleted."""
        self.connect()
        made = self.make()
        made.cancel()
        self.failureResultOf(made, CancelledError)

        self.answer("/l/lock0000000001")

        self.assertEqual(self.kazoo.results[-1].args, ("/l/lock0000000001", -1))

    def test_too_late(self) -> None:
        """So is one that comes after its time."""
        self.connect()
        made = self.make()
        self.reactor.advance(1.0)
        self.error_of(made, ConnectionLoss)

        self.answer("/l/lock0000000001")

        self.assertEqual(self.kazoo.names, ["create", "delete"])

    def test_outcome_unknown(self) -> None:
        """Where an answer was lost, the session's stray nodes are searched for."""
        self.connect()
        self.make()
        self.answer("/l/lock0000000001")
        self.error_of(self.lose_an_answer(), ConnectionLoss)

        self.connect()

        self.assertEqual(self.kazoo.names[2:], ["get_children"])
        self.assertEqual(self.kazoo.results[-1].args, ("/l",))
        names = ["lock0000000001", "lock0000000002", "lock0000000003", "other"]
        self.answer(names)
        self.assertEqual(self.kazoo.results[-1].args, ("/l/lock0000000002",))
        self.answer(SimpleNamespace(ephemeralOwner=5))
        self.assertEqual(self.kazoo.results[-1].args, ("/l/lock0000000003",))
        # Sent in the order asked, so the deletion is the last.
        self.answer(STAT)
        self.assertEqual(self.kazoo.results[-1].args, ("/l/lock0000000003", -1))

    def lose_an_answer(self) -> Deferred[str]:
        """Lose the connection while a node is made."""
        made = self.make()
        self.state(KazooState.SUSPENDED)
        self.refuse(kazoo.ConnectionLoss())
        return made

    def test_search_fails(self) -> None:
        """A search that fails is done again."""
        self.connect()
        self.error_of(self.lose_an_answer(), ConnectionLoss)
        self.connect()
        self.refuse(kazoo.ConnectionLoss())
        self.reactor.advance(RETRY)
        self.assertEqual(self.kazoo.names, ["create", "get_children", "get_children"])
        self.refuse(kazoo.NoNodeError())

        self.reactor.advance(RETRY)

        self.assertEqual(self.kazoo.names, ["create", "get_children", "get_children"])

    def test_answer_lost_later(self) -> None:
        """The search begins even if one hears of it after the connection is back."""
        self.connect()
        made = self.make()
        self.state(KazooState.SUSPENDED)
        self.error_of(made, ConnectionLoss)
        self.connect()

        self.refuse(kazoo.ConnectionLoss(), 0)

        self.assertEqual(self.kazoo.names, ["create", "get_children"])
