"""
One worker's machine: every state with every event (protocol.md §8.5, §8.6).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.apps.documents import Profile
from cocained.apps.invocation import Invocation
from cocained.apps.speech import Handshake
from cocained.apps.worker import EXIT_GRACE, State, Worker
from cocained.errors import (
    CocainedError,
    IsolateError,
    SpawnError,
    WorkerCode,
)
from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.rpc.headers import NO_TRACE
from cocained.rpc.session import Session
from cocained.rpc.wire import SessionProtocol
from cocained.test.app_case import ENQUEUE, Launch
from cocained.testing import FakeNode, MemoryIsolate, MemorySpawn, Peer, ScriptedWorker

UUID = "0b1c2a34-0000-4000-8000-00000000000a"

SPAWN, HANDSHAKE, HEARTBEAT, SEAL, TERMINATE = 2.0, 5.0, 30.0, 60.0, 10.0

PROFILE = Profile.from_mapping(
    "test",
    {
        "spawn-timeout": SPAWN,
        "handshake-timeout": HANDSHAKE,
        "heartbeat-timeout": HEARTBEAT,
        "seal-timeout": SEAL,
        "terminate-timeout": TERMINATE,
        "crashlog-limit": 5,
    },
)


class Owner:
    """Notes what a worker tells its overseer."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.errors: list[CocainedError | None] = []
        self.lines: list[bytes] = []

    def worker_active(self, worker: Worker) -> None:
        self.heard.append("active")

    def worker_freed(self, worker: Worker, invocation: Invocation) -> None:
        self.heard.append("freed")
        worker.load -= 1

    def worker_burdened(self, worker: Worker, client: Session | None) -> None:
        self.heard.append("burdened")

    def worker_gone(self, worker: Worker, error: CocainedError | None) -> None:
        self.heard.append("gone")
        self.errors.append(error)

    def worker_buried(self, worker: Worker) -> None:
        self.heard.append("buried")

    def worker_output(self, worker: Worker, lines: list[bytes]) -> None:
        self.lines += lines


class Origin:
    """Where the events of these tests come from."""

    def withdrawn(self, invocation: Invocation) -> None:
        raise AssertionError("these events are with their worker from the start")


class Mute:
    """A root that lets a client's connection be there."""

    def open(self, *arguments: object) -> None:
        raise AssertionError("these clients open no channels by themselves")


class RaisingIsolate(MemoryIsolate):
    """A plugin with a bug."""

    def spawn(self, *arguments: Any, **keywords: Any) -> Deferred[IWorkerHandle]:
        raise ZeroDivisionError("a bug")


class WorkerCase(SynchronousTestCase):
    """One worker, brought to any of its states."""

    version = 1

    def setUp(self) -> None:
        self.node = FakeNode()
        self.clock = self.node.clock
        self.isolate = MemoryIsolate(self.node, "app")
        self.isolate.slow = True
        self.isolate.obedient = False
        self.launch = Launch()
        self.owner = Owner()
        self.make()

    def make(self) -> None:
        """Make a fresh worker, not started yet."""
        self.machine = Worker(
            UUID, self.owner, self.launch, self.isolate, PROFILE, self.clock
        )
        self.root = Handshake({UUID: self.machine}.get, self.version)

    @property
    def spawn(self) -> MemorySpawn:
        return self.isolate.spawns[-1]

    def connect(self) -> ScriptedWorker:
        protocol = SessionProtocol(self.node.wiring, self.root, hold_itself=False)
        return ScriptedWorker(self.clock, protocol, UUID, self.version)

    def inject(self, close: bool = False) -> Peer:
        """Give the worker an event on channel 1 of a fresh client."""
        client = Peer(self.clock, SessionProtocol(self.node.wiring, Mute()))
        now = self.clock.seconds()
        invocation = Invocation(
            Origin(), client.session, 1, b"event", [], NO_TRACE, now, now + 1e6
        )
        client.session.channels[1] = invocation
        client.session._last = 1
        self.machine.load += 1
        self.machine.inject(invocation, now)
        if close:
            client.send(1, 2)
        return client

    # States

    def enter_spawning(self) -> ScriptedWorker:
        self.machine.start()
        return self.connect()

    def enter_early(self) -> ScriptedWorker:
        peer = self.enter_spawning()
        peer.handshake()
        return peer

    def enter_handshaking(self) -> ScriptedWorker:
        peer = self.enter_spawning()
        self.spawn.ready()
        return peer

    def enter_active(self) -> ScriptedWorker:
        peer = self.enter_handshaking()
        peer.handshake()
        if not self.version:
            peer.heartbeat()
            peer.take()
        return peer

    def enter_sealing(self) -> ScriptedWorker:
        peer = self.enter_active()
        self.client = self.inject()
        self.machine.seal()
        peer.take()
        return peer

    def enter_terminating(self) -> ScriptedWorker:
        peer = self.enter_active()
        self.machine.terminate(WorkerCode.IDLE)
        peer.take()
        return peer

    def enter_closed(self) -> ScriptedWorker:
        peer = self.enter_terminating()
        peer.terminate(0)
        return peer

    def enter_broken(self) -> ScriptedWorker:
        peer = self.enter_active()
        peer.disconnect()
        return peer

    def code(self) -> int | None:
        """The code of the worker's error, if that is one of its own."""
        error = self.machine.error
        if error is None:
            return None
        self.assertEqual(error.category, 21503)
        return int(error.code)

    def assert_buried(self) -> None:
        """Gone once, buried once, and no timer is left."""
        self.clock.pass_time(0)
        self.assertEqual(self.owner.heard.count("gone"), 1)
        self.assertEqual(self.owner.heard.count("buried"), 1)
        self.assertEqual(self.machine.invocations, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])


S = State
Event = Callable[[WorkerCase, ScriptedWorker], object]

#: What may happen to a worker at any time.
EVENTS: dict[str, Event] = {
    "ready": lambda case, peer: case.spawn.ready(),
    "spawn fails": lambda case, peer: case.spawn.fail(SpawnError("no such file")),
    "handshake": lambda case, peer: peer.handshake(),
    "heartbeat": lambda case, peer: peer.heartbeat(),
    "farewell": lambda case, peer: peer.terminate(1, b"bye"),
    "end of file": lambda case, peer: peer.disconnect(),
    "garbage": lambda case, peer: peer.send_bytes(b"\xc1"),
    "unknown message": lambda case, peer: peer.send(1, 7, b"x"),
    "exit": lambda case, peer: case.spawn.exit(3),
    "seal": lambda case, peer: case.machine.seal(),
    "terminate": lambda case, peer: case.machine.terminate(
        WorkerCode.OVERSEER_SHUTDOWN
    ),
    "kill": lambda case, peer: case.machine.kill(),
    "output": lambda case, peer: case.spawn.output(b"words\n"),
}

#: State, event, state afterwards; what is not here changes nothing.
TABLE: dict[str, dict[str, State]] = {
    "spawning": {
        "ready": S.HANDSHAKING,
        "spawn fails": S.BROKEN,
        "terminate": S.CLOSED,
        "kill": S.CLOSED,
    },
    "early": {
        "ready": S.ACTIVE,
        "spawn fails": S.BROKEN,
        "farewell": S.BROKEN,
        "end of file": S.BROKEN,
        "garbage": S.BROKEN,
        "terminate": S.CLOSED,
        "kill": S.CLOSED,
    },
    "handshaking": {
        "handshake": S.ACTIVE,
        "exit": S.BROKEN,
        "terminate": S.CLOSED,
        "kill": S.CLOSED,
    },
    "active": {
        "farewell": S.BROKEN,
        "end of file": S.BROKEN,
        "garbage": S.BROKEN,
        "seal": S.TERMINATING,
        "terminate": S.TERMINATING,
        "kill": S.CLOSED,
    },
    "sealing": {
        "farewell": S.BROKEN,
        "end of file": S.BROKEN,
        "garbage": S.BROKEN,
        "terminate": S.TERMINATING,
        "kill": S.CLOSED,
    },
    "terminating": {
        "farewell": S.CLOSED,
        "end of file": S.CLOSED,
        "garbage": S.CLOSED,
        "kill": S.CLOSED,
    },
    "closed": {},
    "broken": {},
}

#: Where each state is on paper.
BEGIN = {
    "spawning": S.SPAWNING,
    "early": S.SPAWNING,
    "handshaking": S.HANDSHAKING,
    "active": S.ACTIVE,
    "sealing": S.SEALING,
    "terminating": S.TERMINATING,
    "closed": S.CLOSED,
    "broken": S.BROKEN,
}

#: Events that cannot happen in a state: a process that does not run yet does
#: not exit, and one that runs does not fail to start.
IMPOSSIBLE = {
    state: (
        {"exit", "output"}
        if state in ("spawning", "early")
        else {"ready", "spawn fails"}
    )
    for state in TABLE
}


class EveryStateAndEventTests(WorkerCase):
    """The whole table of protocol.md §8.5."""

    def run_row(self, state: str, name: str) -> None:
        self.setUp()
        peer: ScriptedWorker = getattr(self, f"enter_{state}")()
        row = f"{state} + {name}"
        self.assertIs(self.machine.state, BEGIN[state], row)

        EVENTS[name](self, peer)
        self.clock.pass_time(0)

        self.assertIs(self.machine.state, TABLE[state].get(name, BEGIN[state]), row)
        gone = self.machine.state in (S.CLOSED, S.BROKEN)
        self.assertEqual(self.machine.is_gone, gone, row)
        self.assertEqual(self.owner.heard.count("gone"), int(gone), row)
        self.bury(peer, row)

    def bury(self, peer: ScriptedWorker, row: str) -> None:
        """Whatever happened, the end leaves nothing behind."""
        self.machine.kill()
        peer.disconnect()
        for spawn in self.isolate.spawns:
            spawn.exit(-9)
        self.clock.pass_time(EXIT_GRACE)
        self.assertEqual(self.owner.heard.count("gone"), 1, row)
        self.assertEqual(self.owner.heard.count("buried"), 1, row)
        self.assertEqual(self.machine.invocations, {}, row)
        self.clock.pass_time(10.0)  # the connection's own last timer
        self.assertEqual(self.clock.getDelayedCalls(), [], row)

    def test_every_state_with_every_event(self) -> None:
        """Each event in each state leads where the table says, and to one grave."""
        rows = 0
        for state in TABLE:
            for name in EVENTS:
                if name not in IMPOSSIBLE[state]:
                    self.run_row(state, name)
                    rows += 1

        self.assertEqual(rows, 8 * len(EVENTS) - 16)

    def test_two_events_in_a_row(self) -> None:
        """Any two events after each other never bury a worker twice."""
        for state in TABLE:
            for first in EVENTS:
                for second in EVENTS:
                    if first in IMPOSSIBLE[state] or second in IMPOSSIBLE[state]:
                        continue
                    self.setUp()
                    peer = getattr(self, f"enter_{state}")()
                    EVENTS[first](self, peer)
                    if not self.spawn.deferred.called or second not in (
                        "ready",
                        "spawn fails",
                    ):
                        EVENTS[second](self, peer)
                    self.bury(peer, f"{state} + {first} + {second}")


class SpawnTests(WorkerCase):
    """From the order to spawn to the program that runs."""

    def test_provides_the_interface(self) -> None:
        """A worker's process is what an isolate reports to."""
        self.assertTrue(verifyObject(IWorkerObserver, self.machine.process))

    def test_what_is_asked_of_the_isolate(self) -> None:
        """
        The isolate gets program, command line and environment; this proves rows
        100, 102 and 106 of legacy-and-seeds.md.
        """
        self.machine.start()

        self.assertEqual(self.spawn.executable, "worker")
        self.assertEqual(self.spawn.arguments, {"--app": "app", "--uuid": UUID})
        self.assertEqual(self.spawn.environment, {"LANG": "C"})
        self.assertIs(self.spawn.observer, self.machine.process)

    def test_spawn_timeout(self) -> None:
        """A spawn that takes too long is given up with code 1, and cancelled."""
        self.machine.start()
        self.clock.pass_time(SPAWN - 0.01)
        self.assertIs(self.machine.state, S.SPAWNING)

        self.clock.pass_time(0.01)

        self.assertIs(self.machine.state, S.BROKEN)
        self.assertEqual(self.code(), 1)
        self.assertTrue(self.spawn.cancelled)
        self.assert_buried()

    def test_spawn_failure(self) -> None:
        """An isolate's refusal ends the worker at once, with its own error."""
        self.machine.start()

        self.spawn.fail(SpawnError("no such file: worker", 2))

        self.assertIsInstance(self.machine.error, SpawnError)
        self.assertIn(
            b"no such file: worker", b"\n".join(self.machine.process.lines.dump())
        )
        self.assert_buried()

    def test_spawn_failure_of_a_plugin(self) -> None:
        """An error that isolates must not raise is logged and ends only the worker."""
        self.machine.start()

        self.spawn.fail(ZeroDivisionError("a bug"))

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsInstance(self.machine.error, IsolateError)
        self.assert_buried()

    def test_isolate_that_raises(self) -> None:
        """An isolate that raises instead of failing its Deferred does no more harm."""

        self.isolate = RaisingIsolate(self.node, "app")
        self.make()

        self.machine.start()

        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(self.machine.state, S.BROKEN)
        self.assert_buried()

    def test_no_locator(self) -> None:
        """Without a command line nothing is spawned, and the crashlog says why."""
        self.launch.refusal = IsolateError("locator not found")

        self.machine.start()

        self.assertEqual(self.isolate.spawns, [])
        self.assertEqual(
            self.machine.process.lines.dump(),
            [b"[cocained] worker ended: locator not found"],
        )
        self.assert_buried()

    def test_ready_after_all(self) -> None:
        """A worker that appears although its spawn was given up is killed."""
        self.machine.start()
        spawn = self.spawn
        spawn.deferred._canceller = lambda deferred: spawn.ready()

        self.machine.kill()

        self.assertEqual(spawn.killed, 1)
        self.assertEqual(self.owner.heard, ["gone"])
        spawn.exit(-9)
        self.assert_buried()

    def test_identity(self) -> None:
        """The process is known to people as soon as it runs."""
        self.machine.start()
        self.assertEqual(self.machine.process.identity, "")

        self.spawn.ready()

        self.assertEqual(self.machine.process.identity, "memory 1")


class HandshakeTests(WorkerCase):
    """From the program that runs to the worker that works."""

    def test_active_at_once(self) -> None:
        """
        The handshake alone makes a worker active, and is not answered (§8.4);
        this proves row 109 of legacy-and-seeds.md.
        """
        peer = self.enter_handshaking()

        peer.handshake()

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertEqual(self.owner.heard, ["active"])
        self.assertEqual(peer.take(), [])

    def test_early_handshake(self) -> None:
        """A handshake before the isolate is ready is kept until then."""
        self.enter_early()
        self.assertEqual(self.owner.heard, [])

        self.spawn.ready()

        self.assertEqual(self.owner.heard, ["active"])

    def test_any_channel(self) -> None:
        """The channel of the handshake becomes that of control."""
        peer = self.enter_handshaking()

        peer.handshake(channel=7)
        peer.send(7, 0)
        self.machine.terminate(WorkerCode.SEALING)

        self.assertEqual(peer.take(), [[7, 0, []], [7, 1, [14, b"slave is sealing"]]])

    def test_second_handshake(self) -> None:
        """Somebody else with the same uuid is turned away, the worker stays."""
        peer = self.enter_active()
        other = self.connect()

        other.handshake()

        self.assertTrue(other.is_closed)
        self.assertIs(self.machine.state, S.ACTIVE)
        peer.heartbeat()
        self.assertEqual(peer.take(), [[1, 0, []]])

    def test_second_handshake_on_the_same_connection(self) -> None:
        """A worker that opens a channel of its own is ignored (W-newch)."""
        peer = self.enter_active()

        peer.handshake(channel=9)
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []]])
        self.assertEqual(set(peer.session.channels), {1})

    def test_unknown_uuid(self) -> None:
        """A wrong uuid is disconnected: row 109 of legacy-and-seeds.md."""
        self.enter_handshaking()
        stranger = self.connect()

        stranger.send(1, 0, b"somebody else")

        self.assertTrue(stranger.is_closed)
        self.assertIs(self.machine.state, S.HANDSHAKING)

    def test_first_message_is_none(self) -> None:
        """What is no handshake is disconnected: row 107 of legacy-and-seeds.md."""
        for kind, argument in ((1, UUID.encode()), (0, 5), (0, [UUID.encode()])):
            stranger = self.connect()

            stranger.send(1, kind, argument)

            self.assertTrue(stranger.is_closed, (kind, argument))

    def test_late_handshake(self) -> None:
        """A handshake after the end is turned away."""
        peer = self.enter_handshaking()
        self.clock.pass_time(HANDSHAKE)

        peer.handshake()

        self.assertTrue(peer.is_closed)
        self.assertIs(self.machine.state, S.BROKEN)

    def test_no_handshake(self) -> None:
        """
        A silent worker is killed after handshake-timeout, code 4, and leaves a
        crashlog: row 108 of legacy-and-seeds.md.
        """
        self.enter_handshaking()
        self.spawn.output(b"importing the world\n")

        self.clock.pass_time(HANDSHAKE)

        self.assertEqual(self.code(), 4)
        self.assertEqual(self.spawn.killed, 1)
        self.assertEqual(self.owner.heard, ["gone"])
        self.spawn.exit(-9)
        self.assertEqual(
            self.machine.process.lines.dump(),
            [
                b"importing the world",
                b"[cocained] worker ended: [21503, 4] timed out while activating;"
                b" the process was killed by SIGKILL",
            ],
        )
        self.assert_buried()

    def test_exit_before_the_handshake(self) -> None:
        """Its end is noticed at once, and the crashlog says what it was."""
        self.enter_handshaking()
        self.spawn.output(b"ImportError: no module")

        self.spawn.exit(1)

        self.assertEqual(
            self.machine.process.lines.dump(),
            [
                b"ImportError: no module",
                b"[cocained] worker ended: the worker exited with status 1 before"
                b" its handshake; the process exited with status 1",
            ],
        )
        self.assert_buried()

    def test_clean_exit_before_the_handshake(self) -> None:
        """A worker that ends well without a word has failed, too."""
        self.enter_handshaking()

        self.spawn.exit(0)

        self.assertIs(self.machine.state, S.BROKEN)
        self.assert_buried()


class HeartbeatTests(WorkerCase):
    """Signs of life."""

    def test_answer(self) -> None:
        """Each heartbeat is answered on its channel."""
        peer = self.enter_active()

        peer.heartbeat()
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []], [1, 0, []]])

    def test_silence(self) -> None:
        """A worker that falls silent is killed, code 8, with its events answered."""
        peer = self.enter_active()
        client = self.inject()

        self.clock.pass_time(HEARTBEAT)

        self.assertEqual(self.code(), 8)
        self.assertEqual(
            client.take(), [[1, 1, [[2, 125], b"slave has been discarded"]]]
        )
        self.assertEqual(self.spawn.killed, 1)
        self.assertTrue(peer.is_closed)
        self.spawn.exit(-9)
        self.assertEqual(self.owner.heard, ["active", "gone", "freed", "buried"])

    def test_each_heartbeat_counts(self) -> None:
        """The limit begins anew with each heartbeat."""
        peer = self.enter_active()
        for _ in range(4):
            self.clock.pass_time(HEARTBEAT - 1)
            peer.heartbeat()
        self.clock.pass_time(HEARTBEAT - 1)
        self.assertIs(self.machine.state, S.ACTIVE)

        self.clock.pass_time(1)

        self.assertIs(self.machine.state, S.BROKEN)

    def test_the_first_is_not_needed(self) -> None:
        """The limit begins with the handshake, not with the spawn."""
        self.machine.start()
        self.spawn.ready()
        self.clock.pass_time(HANDSHAKE - 1)
        self.connect().handshake()

        self.clock.pass_time(HEARTBEAT - 0.5)

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_silence_while_sealing(self) -> None:
        """Heartbeats are still required of a worker that is sealed."""
        self.enter_sealing()

        self.clock.pass_time(HEARTBEAT)

        self.assertEqual(self.code(), 8)

    def test_silence_while_terminating(self) -> None:
        """A worker that should end anyway has not failed then."""
        peer = self.enter_active()
        self.clock.pass_time(HEARTBEAT - 1)
        self.machine.terminate(WorkerCode.IDLE)

        self.clock.pass_time(1)

        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.assertTrue(peer.is_closed)

    def test_held_worker_is_not_judged(self) -> None:
        """While a slow client makes us not read, silence proves nothing."""
        peer = self.enter_active()
        peer.session.halt()
        peer.heartbeat()

        self.clock.pass_time(HEARTBEAT + 1)

        self.assertIs(self.machine.state, S.ACTIVE)
        peer.session.release()
        self.assertEqual(peer.take(), [[1, 0, []]])
        self.clock.pass_time(2 * HEARTBEAT)
        self.assertEqual(self.code(), 8)


class FarewellTests(WorkerCase):
    """A worker that ends, asked or not."""

    def test_by_itself(self) -> None:
        """
        Its own ``terminate`` ends it, whatever the code (§8.6), and it has a
        while to exit: row 112 of legacy-and-seeds.md.
        """
        peer = self.enter_active()
        client = self.inject()

        peer.terminate(1, b"all is well")

        self.assertEqual(self.code(), 12)
        self.assertEqual(
            client.take(), [[1, 1, [[2, 125], b"slave has been discarded"]]]
        )
        self.assertEqual((self.spawn.asked, self.spawn.killed), (0, 0))
        self.spawn.exit(0)
        self.assert_buried_soon()

    def test_by_itself_and_stays(self) -> None:
        """Who says farewell and stays is made to go: rows 113 and 116."""
        peer = self.enter_active()
        peer.terminate(1, b"all is well")

        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(self.spawn.asked, 1)
        self.assertEqual(self.owner.heard, ["active", "gone"])
        self.spawn.exit(-15)
        self.assert_buried_soon()

    def test_asked_and_answered(self) -> None:
        """A worker that answers to ``terminate`` has ended well: row 114."""
        peer = self.enter_active()

        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        self.assertEqual(peer.take(), [[1, 1, [11, b"overseer is shutting down"]]])
        peer.terminate(11, b"overseer is shutting down")

        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.spawn.exit(0)
        self.assertEqual(self.machine.process.lines.dump(), [])
        self.assert_buried_soon()

    def test_asked_and_not_answered(self) -> None:
        """A worker that does not answer is killed in time: row 115."""
        self.enter_terminating()
        self.clock.pass_time(TERMINATE - 0.1)
        self.assertIs(self.machine.state, S.TERMINATING)

        self.clock.pass_time(0.1)

        self.assertEqual(self.spawn.killed, 1)
        self.assertIs(self.machine.state, S.CLOSED)
        self.assertIsNone(self.machine.error)
        self.spawn.exit(-9)
        self.assert_buried_soon()

    def test_asked_twice(self) -> None:
        """A second ``terminate`` is not sent and does not begin the time anew."""
        peer = self.enter_terminating()
        self.clock.pass_time(TERMINATE - 1)

        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)
        self.clock.pass_time(1)

        self.assertEqual(peer.take(), [])
        self.assertIs(self.machine.state, S.CLOSED)

    def test_events_until_the_answer(self) -> None:
        """Events may finish while the worker is asked to end."""
        peer = self.enter_active()
        client = self.inject(close=True)
        self.machine.terminate(WorkerCode.OVERSEER_SHUTDOWN)

        peer.chunk(2, b"last")
        peer.close(2)
        peer.terminate(11)

        self.assertEqual(client.take(), [[1, 0, [b"last"]], [1, 2, []]])
        self.spawn.exit(0)
        self.assert_buried_soon()

    def test_misspelt(self) -> None:
        """A ``terminate`` without its arguments is a note in the log (§8.6)."""
        peer = self.enter_active()

        peer.send(1, 1)

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertFalse(peer.is_closed)

    def test_endless(self) -> None:
        """Of a farewell of megabytes, no text even, little is logged."""
        peer = self.enter_active()
        events: list[LogEvent] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

        peer.terminate(1, b"\xff" * 1_000_000)

        self.assertEqual(self.code(), 12)
        said = [formatEvent(event) for event in events]
        self.assertTrue(any("ends by itself: [1]" in text for text in said))
        self.assertLess(max(map(len, said)), 2000)
        self.assertTrue(all(text.isascii() for text in said))

    def test_after_the_end(self) -> None:
        """The farewell of a worker that is gone changes nothing."""
        self.enter_broken()

        self.machine.farewell(1, "late")

        self.assertEqual(self.code(), 10)

    def assert_buried_soon(self) -> None:
        self.clock.pass_time(10.0)
        self.assert_buried()


class SealTests(WorkerCase):
    """A worker that takes no more work."""

    def test_idle(self) -> None:
        """Without events it is asked to end at once, code 14."""
        peer = self.enter_active()

        self.machine.seal()

        self.assertIs(self.machine.state, S.TERMINATING)
        self.assertEqual(peer.take(), [[1, 1, [14, b"slave is sealing"]]])

    def test_last_event(self) -> None:
        """It is asked to end when its last event has ended."""
        peer = self.enter_active()
        first, second = self.inject(close=True), self.inject(close=True)
        self.machine.seal()
        peer.take()

        peer.close(2)
        self.assertIs(self.machine.state, S.SEALING)
        peer.close(3)

        self.assertEqual(peer.take(), [[1, 1, [14, b"slave is sealing"]]])
        self.assertEqual(first.take(), [[1, 2, []]])
        self.assertEqual(second.take(), [[1, 2, []]])

    def test_too_long(self) -> None:
        """After seal-timeout it is asked to end anyway, code 6."""
        peer = self.enter_sealing()
        for _ in range(3):
            self.clock.pass_time(SEAL / 3)
            peer.heartbeat()

        self.assertIs(self.machine.state, S.TERMINATING)
        self.assertIn([1, 1, [6, b"timed out while sealing"]], peer.take())

    def test_refuses_others(self) -> None:
        """Only an active worker can be sealed."""
        self.enter_handshaking()

        self.machine.seal()

        self.assertIs(self.machine.state, S.HANDSHAKING)


class ConnectionTests(WorkerCase):
    """What happens to the worker's connection."""

    def test_end_of_file(self) -> None:
        """A lost connection is code 10; events learn that it was an end of file."""
        peer = self.enter_active()
        client = self.inject()

        peer.disconnect()

        self.assertEqual(self.code(), 10)
        self.assertEqual(client.take(), [[1, 1, [[5, 2], b"slave has been discarded"]]])

    def test_reset(self) -> None:
        """A reset tells the events so."""
        peer = self.enter_active()
        client = self.inject()

        peer.disconnect(ConnectionLost())

        self.assertEqual(
            client.take(), [[1, 1, [[2, 104], b"slave has been discarded"]]]
        )

    def test_garbage(self) -> None:
        """Bytes that are no frames end the worker (W-badframe)."""
        peer = self.enter_active()
        client = self.inject()

        peer.send_bytes(b"\xc1")

        self.assertEqual(client.take(), [[1, 1, [[6, 4], b"slave has been discarded"]]])
        self.assertTrue(peer.is_closed)
        self.assertEqual(self.code(), 10)

    def test_unknown_control_message(self) -> None:
        """A control message that does not exist is dropped and counted."""
        peer = self.enter_active()

        peer.send(1, 2, b"?")
        peer.heartbeat()

        self.assertEqual(peer.take(), [[1, 0, []]])
        self.assertEqual(peer.session.dropped, 1)

    def test_highest_channel(self) -> None:
        """A worker that opens the last channel there is harms only itself."""
        peer = self.enter_active()

        client = self.inject()
        peer.send((1 << 64) - 1, 0, b"x")

        self.assertTrue(peer.is_closed)
        self.assertEqual(client.take(), [[1, 1, [[6, 1], b"slave has been discarded"]]])

    def test_exit_with_words_on_the_way(self) -> None:
        """Answers that a worker left in its socket still reach the clients."""
        peer = self.enter_active()
        client = self.inject(close=True)

        self.spawn.exit(0)
        peer.chunk(2, b"last")
        peer.close(2)
        peer.disconnect()

        self.assertEqual(client.take(), [[1, 0, [b"last"]], [1, 2, []]])
        self.assert_buried()

    def test_exit_with_an_open_socket(self) -> None:
        """A child of the worker that keeps the socket does not keep the worker."""
        peer = self.enter_active()
        client = self.inject()

        self.spawn.exit(1)
        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(client.take(), [[1, 1, [[5, 2], b"slave has been discarded"]]])
        self.assertTrue(peer.is_closed)
        self.clock.pass_time(10.0)
        self.assert_buried()

    def test_end_of_file_and_stays(self) -> None:
        """A process that closes its socket and lives on is made to end."""
        peer = self.enter_active()
        peer.disconnect()
        self.assertEqual(self.spawn.asked, 0)

        self.clock.pass_time(EXIT_GRACE)

        self.assertEqual(self.spawn.asked, 1)
        self.machine.kill()
        self.assertEqual(self.spawn.killed, 1)
        self.spawn.exit(-9)
        self.assert_buried()


class OutputTests(WorkerCase):
    """What a worker prints."""

    def test_lines(self) -> None:
        """Whole lines are passed on as they come."""
        self.enter_active()

        self.spawn.output(b"one\ntw")
        self.spawn.output(b"o\nthree")

        self.assertEqual(self.owner.lines, [b"one", b"two"])
        self.assertEqual(self.machine.process.lines.dump(), [b"one", b"two", b"three"])

    def test_limit(self) -> None:
        """Only the last lines are kept, our own among them."""
        peer = self.enter_active()
        self.spawn.output(b"".join(b"%d\n" % number for number in range(100)))

        peer.disconnect()
        self.spawn.exit(1)

        *lines, ours = self.machine.process.lines.dump()
        self.assertEqual(lines, [b"96", b"97", b"98", b"99"])
        self.assertIn(b"exited with status 1", ours)

    def test_late(self) -> None:
        """Output after the burial harms nobody."""
        peer = self.enter_active()
        peer.disconnect()
        self.spawn.exit(1)

        self.spawn.output(b"late\n")

        self.assertEqual(self.owner.lines, [b"late"])
        self.assert_buried()


class ProtocolZeroTests(WorkerCase):
    """Worker protocol 0 (protocol.md §8.3)."""

    version = 0

    def test_first_heartbeat(self) -> None:
        """
        Not the handshake but the first heartbeat makes a worker active: row 110
        of legacy-and-seeds.md.
        """
        peer = self.enter_handshaking()
        peer.handshake()
        self.assertIs(self.machine.state, S.HANDSHAKING)

        peer.heartbeat()

        self.assertIs(self.machine.state, S.ACTIVE)
        self.assertEqual(peer.take_whole(), [[1, 1, []]])

    def test_no_heartbeat(self) -> None:
        """A handshake alone does not stop the time."""
        peer = self.enter_handshaking()
        peer.handshake()

        self.clock.pass_time(HANDSHAKE)

        self.assertEqual(self.code(), 4)

    def test_early(self) -> None:
        """Both before the isolate is ready are kept."""
        peer = self.enter_early()
        peer.heartbeat()

        self.spawn.ready()

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_heartbeats_count(self) -> None:
        """Later heartbeats keep it alive."""
        peer = self.enter_active()
        self.clock.pass_time(HEARTBEAT - 1)
        peer.heartbeat()

        self.clock.pass_time(HEARTBEAT - 1)

        self.assertIs(self.machine.state, S.ACTIVE)

    def test_terminate(self) -> None:
        """``terminate`` is message 2, both ways, in frames of three elements."""
        peer = self.enter_active()

        self.machine.terminate(WorkerCode.IDLE)

        self.assertEqual(peer.take_whole(), [[1, 2, [13, b"slave is idle"]]])
        peer.terminate(1, b"bye")
        self.assertIs(self.machine.state, S.CLOSED)

    def test_other_protocol(self) -> None:
        """A worker that speaks protocol 1 after all is told of in the log."""
        peer = self.enter_handshaking()
        peer.handshake()

        peer.send(1, 0)

        self.assertEqual(peer.session.dropped, 1)
        self.assertIs(self.machine.state, S.HANDSHAKING)

    def test_event(self) -> None:
        """An event goes through in the messages of protocol 0."""
        peer = self.enter_active()
        client = self.inject()

        client.send(1, ENQUEUE, b"chunk")
        peer.chunk(2, b"answer")
        client.send(1, 2)
        peer.close(2)

        self.assertEqual(
            peer.take_whole(),
            [[2, 3, [b"event"]], [2, 4, [b"chunk"]], [2, 6, []]],
        )
        self.assertEqual(client.take(), [[1, 0, [b"answer"]], [1, 2, []]])


class NameTests(SynchronousTestCase):
    """How a worker is shown."""

    def test_repr(self) -> None:
        """A worker says who it is and how it does."""
        case = WorkerCase()
        case.setUp()

        self.assertEqual(repr(case.machine), f"<Worker {UUID} spawning load=0>")
