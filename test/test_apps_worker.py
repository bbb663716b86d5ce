"""
One worker's machine: every state with every event (protocol.md §8.5, §8.6).
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.apps.worker import EXIT_GRACE, State
from cocained.errors import (
    IsolateError,
    SpawnError,
    WorkerCode,
)
from cocained.interfaces import IWorkerObserver
from cocained.test.worker_case import SPAWN, UUID, RaisingIsolate, S, WorkerCase
from cocained.testing import ScriptedWorker

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


class NameTests(SynchronousTestCase):
    """How a worker is shown."""

    def test_repr(self) -> None:
        """A worker says who it is and how it does."""
        case = WorkerCase()
        case.setUp()

        self.assertEqual(repr(case.machine), f"<Worker {UUID} spawning load=0>")
