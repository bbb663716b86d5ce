# -*- test-case-name: cocained.test.test_apps_leaks -*-
"""
Thousands of events and workers in memory; then the engine holds what it held before.

The same with real processes: ``cocained.test.live.test_leaks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cocained.apps.burdens import PATIENCE, RELIEF
from cocained.errors import SpawnError
from cocained.rpc.graph import REVOKE
from cocained.rpc.wire import Limits
from cocained.test.app_case import CLOSE, CONTROL, ENQUEUE, WRITE, AppCase
from cocained.test.live.census import held
from cocained.testing import Peer, ScriptedWorker

#: Rounds before the first look: caches fill.
WARM_UP = 5

#: Rounds between two looks; one object lost in each would be this many.
ROUNDS = 250

#: Objects, or entries of a table, that may be more or less at any moment: which
#: timers run depends on the moment.
SPARE = 10

#: What is counted besides our own objects: what holds others when it leaks.  Not
#: Deferreds: trial makes one for each line that is logged when it has workers.
OTHERS = ("twisted.internet.base.DelayedCall",)


class LeakCase(AppCase):
    """Rounds after which everything is as it was."""

    profile: Mapping[str, Any] = {
        "pool-limit": 2,
        "concurrency": 5,
        "queue-limit": 10,
        "idle-timeout": 0,
    }
    limits = Limits(write_stall=60.0)

    def look(self) -> dict[str, int]:
        """Count objects of ours, sizes of tables, and timers."""
        self.clock.pass_time(0)
        # What the doubles remember is not the engine's.
        self.peers.clear()
        del self.isolate.spawns[:-2]
        self.watcher.__init__()  # type: ignore[misc]
        found = held()
        looked = {
            name: number
            for name, number in found["objects"].items()
            if name.startswith("cocained.") or name in OTHERS
        }
        return looked | found["tables"] | {"timers": len(self.clock.calls)}

    def assert_steady(self, one_round: Callable[[], object]) -> None:
        """Run many rounds and see that nothing is left of them."""
        for _ in range(WARM_UP):
            one_round()
        before = self.look()
        for _ in range(ROUNDS):
            one_round()
        more = {
            name: number - before.get(name, 0) for name, number in self.look().items()
        }
        self.assertEqual({n: count for n, count in more.items() if count > SPARE}, {})

    def serve(self, worker: ScriptedWorker) -> None:
        """Answer one event of a client that then goes away."""
        client = self.client()
        client.send(1, ENQUEUE, b"event")
        ((channel, _, _),) = worker.take()
        self.finish(client, worker, 1, channel)
        client.disconnect()


class WorkerTests(LeakCase):
    """Generations of workers."""

    def hire(self) -> ScriptedWorker:
        """Wait until a worker has been spawned, and let it shake hands."""
        while self.states()[-1:] != ["handshaking"]:
            self.clock.pass_time(0.1)
        return self.worker()

    def test_killed(self) -> None:
        """Workers that are killed with events of theirs."""

        def generation() -> None:
            client = self.client()
            client.send(1, ENQUEUE, b"event")
            self.hire()
            self.spawn().exit(-9)
            self.clock.pass_time(2)
            self.assertEqual(client.take()[0][1], 1)
            client.disconnect()

        self.assert_steady(generation)
        self.assert_ended()

    def test_sealed(self) -> None:
        """Workers that are asked for and sealed again."""
        client = self.client()
        client.send(1, CONTROL)
        client.send(1, 0, 1)
        workers = [self.worker()]

        def generation() -> None:
            client.send(1, 0, 2)
            workers.append(self.worker())
            client.send(1, 0, 1)
            worker = workers.pop(0)
            ((_, kind, args),) = worker.take()
            self.assertEqual(kind, 1)
            worker.terminate(*args)
            self.clock.pass_time(2)
            self.assertEqual(self.states(), ["active"])

        self.assert_steady(generation)
        self.assert_ended()

    def test_idle(self) -> None:
        """Workers that have nothing to do, and new ones for the next event."""
        self.make_overseer(idle_timeout=30)

        def generation() -> None:
            client = self.client()
            client.send(1, ENQUEUE, b"event")
            worker = self.worker()
            ((channel, _, _),) = worker.take()
            self.finish(client, worker, 1, channel)
            client.disconnect()
            for _ in range(4):
                self.clock.pass_time(10)
                worker.heartbeat()
            worker.terminate(
                *next(args for _, kind, args in worker.take() if kind == 1)
            )
            self.clock.pass_time(2)
            self.assertEqual(self.states(), [])

        self.assert_steady(generation)
        self.assert_ended()

    def test_never_born(self) -> None:
        """Workers that cannot be spawned, or that never shake hands."""

        def generation() -> None:
            client = self.client()
            self.isolate.refusal = SpawnError("there is no such program")
            client.send(1, ENQUEUE, b"event")
            self.isolate.refusal = None
            self.clock.pass_time(40)
            self.assertEqual(self.states(), ["handshaking"] * len(self.states()))
            self.connect(self.spawn().uuid).disconnect()
            self.clock.pass_time(40)
            client.disconnect()

        self.assert_steady(generation)
        self.isolate.refusal = SpawnError("there is no such program")
        self.clock.pass_time(100)
        self.assert_ended()

    def test_apps(self) -> None:
        """Whole pools that are stopped."""

        def generation() -> None:
            self.make_overseer()
            client = self.client()
            client.send(1, ENQUEUE, b"event")
            self.serve_first(client)
            client.disconnect()
            self.assert_ended()
            self.isolate.spawns.clear()

        self.assert_steady(generation)

    def serve_first(self, client: Peer) -> None:
        """Answer the event that started a pool."""
        worker = self.worker()
        ((channel, _, _),) = worker.take()
        self.finish(client, worker, 1, channel)


class EventTests(LeakCase):
    """Events that end in all ways, at workers that stay."""

    def setUp(self) -> None:
        super().setUp()
        client, self.peer = self.started()
        self.finish(client, self.peer, 1, 2)
        client.disconnect()

    def test_served(self) -> None:
        """Events that are answered."""
        self.assert_steady(lambda: self.serve(self.peer))
        self.assert_ended()

    def test_revoked(self) -> None:
        """Channels that are revoked, and clients that leave in the middle."""

        def revoke() -> None:
            client = self.client()
            for channel in range(1, 9, 2):
                client.send(channel, ENQUEUE, b"event")
                client.send(channel, WRITE, b"chunk")
                client.send(channel + 1, REVOKE, channel, [1, 1])
            client.send(99, ENQUEUE, b"event")
            client.take()
            client.disconnect()
            self.peer.take()
            self.assert_quiet()

        self.assert_steady(revoke)
        self.assert_ended()


class OneWorkerTests(LeakCase):
    """Events for whom there is no room, or no time."""

    profile: Mapping[str, Any] = {**LeakCase.profile, "pool-limit": 1}

    def test_expired(self) -> None:
        """Events that are late, at work and in the queue."""
        header = [[False, b"request_timeout", (500).to_bytes(8, "little")]]

        def expire() -> None:
            client = self.client()
            for channel in range(1, 16):
                client.send(channel, ENQUEUE, b"event", headers=header)
            self.clock.pass_time(1)
            kinds = [kind for _, kind, _ in client.take()]
            self.assertEqual(kinds, [1] * 15)
            client.disconnect()
            peer.heartbeat()
            peer.take()

        self.client().send(1, ENQUEUE, b"event")
        peer = self.worker()
        self.assert_steady(expire)

    def test_refused(self) -> None:
        """Events for which there is no room."""

        def refuse() -> None:
            client = self.client()
            for channel in range(1, 31):
                client.send(channel, ENQUEUE, b"event")
            self.assertGreaterEqual(len(client.take()), 20)
            client.disconnect()
            for event in self.overseer.backlog.clear():
                event.fail(SpawnError("enough"))

        self.assert_steady(refuse)

    def test_stuck(self) -> None:
        """Clients that do not read, until patience or write-stall ends them."""
        other = self.client()
        other.send(1, ENQUEUE, b"other")
        worker = self.worker()
        worker.take()

        def stick() -> None:
            client = self.client()
            client.send(1, ENQUEUE, b"event")
            ((channel, _, _),) = worker.take()
            client.stop_reading()
            for _ in range(4):
                worker.chunk(channel, b"x" * 100_000)
            self.clock.pass_time(PATIENCE + RELIEF)
            self.assertFalse(worker.transport.paused)
            self.assertEqual(worker.take()[0][:2], [channel, 1])
            client.disconnect()
            worker.heartbeat()
            worker.take()

        self.assert_steady(stick)
        worker.close(2)
        other.send(1, CLOSE)
        self.assert_ended()
