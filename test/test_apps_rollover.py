"""
A new release of an app takes over, and no client can tell (row 187).
"""

from __future__ import annotations

from cocained.apps.app import AppState
from cocained.test.app_case import CLOSE, ENQUEUE, INFO, WRITE
from cocained.test.rollover_case import SEALING, RolloverCase


class TakeOverTests(RolloverCase):
    """A new version warms up, takes traffic, and the old one drains."""

    def test_take_over(self) -> None:
        """Events go to the old release until the new one has a worker."""
        (old,) = self.start_with(1)
        client = self.client()
        done = self.update()
        self.ask(client, 1, b"before")
        self.assertEqual(old.take(), [[2, 0, [b"before"]], [2, 2, []]])
        self.answer(old, 2, b"old")

        new = self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)
        self.ask(client, 2, b"after")

        self.assertEqual(new.take(), [[2, 0, [b"after"]], [2, 2, []]])
        self.answer(new, 2, b"new")
        self.assertEqual(
            client.take(),
            [[1, 0, [b"old"]], [1, 2, []], [2, 0, [b"new"]], [2, 2, []]],
        )
        self.assertEqual(old.take(), [SEALING])

    def test_old_release_ends(self) -> None:
        """Its workers, its socket and its isolate are let go, in that order."""
        (old,) = self.start_with(1)
        first = self.app.endpoint
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        self.assertEqual(sorted(self.clock.ports), sorted([first, self.app.endpoint]))
        self.assertEqual(self.isolates[0].stops, 0)

        old.terminate(14)
        self.clock.pass_time(2)

        self.assertEqual(list(self.clock.ports), [self.app.endpoint])
        self.assertNotEqual(self.app.endpoint, first)
        self.assertEqual(self.isolates[0].stops, 1)

    def test_documents(self) -> None:
        """The new release runs what the documents say now."""
        self.start_with(1)
        self.put("manifests", "echo", {"slave": "other", "environment": {"A": "b"}})
        self.put("profiles", "default", {**self.profile, "concurrency": 3})

        self.update()

        (spawn,) = self.coming.spawns
        self.assertEqual(spawn.executable, "other")
        self.assertEqual(spawn.environment, {"A": "b"})
        self.worker(self.app)
        self.clock.pass_time(0)
        self.assertEqual(self.app.overseer.profile.concurrency, 3)
        self.assertEqual(self.app.info(3)["manifest"]["slave"], "other")

    def test_other_profile(self) -> None:
        """An update may change to another profile, and later ones keep to it."""
        self.start_with(1)
        self.put("profiles", "other", {**self.profile, "pool-limit": 7})

        self.update("other")
        self.worker(self.app)
        self.clock.pass_time(0)

        self.assertEqual(self.app.profile, "other")
        self.assertEqual(self.app.info(1)["pool"]["capacity"], 7)
        self.core.remove("profiles", "default")
        self.update()
        self.assertEqual(self.told(), {"state": "waiting"})

    def test_nobody_worked(self) -> None:
        """An app without workers proves the new release with one."""
        self.app = self.start()

        done = self.update()

        self.assertEqual(len(self.coming.spawns), 1)
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)
        self.assertEqual(list(self.clock.ports), [self.app.endpoint])

    def test_twice(self) -> None:
        """One update after the other."""
        (worker,) = self.start_with(1)
        for number in range(2, 5):
            done = self.update()
            former, worker = worker, self.worker(self.app)
            self.clock.pass_time(0)
            self.successResultOf(done)
            former.terminate(14)
            self.clock.pass_time(2)
            self.assertEqual(len(self.isolates), number)

        self.assertEqual([isolate.stops for isolate in self.isolates], [1, 1, 1, 0])
        self.assertEqual(list(self.clock.ports), [self.app.endpoint])

    def test_two_pools_at_most(self) -> None:
        """A third release gets no worker before the first has gone."""
        self.start_with(1, terminate_timeout=10)
        self.update()
        second = self.worker(self.app)
        self.clock.pass_time(0)

        done = self.update()
        self.clock.pass_time(9)
        self.assertEqual(self.told(), {"state": "waiting"})
        self.assertEqual(self.coming.spawns, [])
        self.clock.pass_time(2)

        self.assertEqual(self.told(), {"state": "warming up"})
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)
        self.assertEqual(second.take(), [SEALING])

    def test_report(self) -> None:
        """``info`` says how far it is, and which version it is about."""
        self.app = self.start()
        self.assertNotIn("update", self.app.info(0))
        self.slow = True
        self.update()
        self.assertEqual(self.told(), {"state": "spooling"})
        self.coming.slow = False
        self.coming.spools[0].callback(None)
        self.clock.pass_time(0)
        self.assertEqual(self.told(), {"state": "warming up"})

        self.worker(self.app)
        self.clock.pass_time(7)

        update = self.app.info(0)["update"]
        self.assertEqual(update["state"], "done")
        self.assertEqual(update["since"], int(self.clock.seconds()) - 7)
        self.assertRegex(update["version"], r"^[0-9a-f]{12}$")


class LoadTests(RolloverCase):
    """What there is to do is done meanwhile: by whom, and in which order."""

    def test_as_many_workers(self) -> None:
        """The new release comes with as many workers as the old one has."""
        self.start_with(3)

        done = self.update()

        self.assertEqual(len(self.coming.spawns), 3)
        for number in range(3):
            self.assertNoResult(done)
            self.worker(self.app, number)
            self.clock.pass_time(0)
        self.successResultOf(done)
        self.assertEqual(self.app.overseer.pool.active, 3)

    def test_smaller_pool(self) -> None:
        """It has no more than its profile allows."""
        self.start_with(3)
        self.put("profiles", "default", {**self.profile, "pool-limit": 2})

        self.update()

        self.assertEqual(len(self.coming.spawns), 2)

    def test_control_is_kept(self) -> None:
        """Who asked for a number of workers has asked the app, not a release."""
        self.start_with(2)
        self.update()
        for number in range(2):
            self.worker(self.app, number)
        self.clock.pass_time(0)

        self.assertEqual(self.app.overseer.pool.wanted, 2)
        self.app.control(0)
        self.assertEqual(self.app.overseer.pool.wanted, 0)

    def test_automatic(self) -> None:
        """An app that grows by itself goes on to do so."""
        (_,) = self.start_with(1)
        self.app.control(0)

        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.assertEqual(self.app.overseer.pool.wanted, 0)

    def test_waiting_events(self) -> None:
        """Those that wait for a worker get one of the new release, in order."""
        (old,) = self.start_with(1, concurrency=1, pool_limit=1)
        client = self.client()
        for channel, event in enumerate((b"a", b"b", b"c"), 1):
            self.ask(client, channel, event)
        self.assertEqual(old.take(), [[2, 0, [b"a"]], [2, 2, []]])
        self.update()

        new = self.worker(self.app)
        self.clock.pass_time(0)

        self.assertEqual(new.take(), [[2, 0, [b"b"]], [2, 2, []]])
        self.answer(new, 2, b"B")
        self.assertEqual(new.take(), [[3, 0, [b"c"]], [3, 2, []]])
        self.answer(new, 3, b"C")
        self.answer(old, 2, b"A")
        self.assertEqual(
            client.take(),
            [[2, 0, [b"B"]], [2, 2, []], [3, 0, [b"C"]], [3, 2, []],
             [1, 0, [b"A"]], [1, 2, []]],
        )  # fmt: skip

    def test_waiting_events_before_new_ones(self) -> None:
        """An event that comes after the change is behind those that wait."""
        self.start_with(1, concurrency=1, pool_limit=1)
        client = self.client()
        self.ask(client, 1, b"at work")
        self.ask(client, 2, b"waits")
        self.update()
        new = self.worker(self.app)
        self.clock.pass_time(0)

        self.ask(client, 3, b"late")

        self.assertEqual(new.take(), [[2, 0, [b"waits"]], [2, 2, []]])
        self.answer(new, 2, b"")
        self.assertEqual(new.take(), [[3, 0, [b"late"]], [3, 2, []]])

    def test_no_room(self) -> None:
        """None of those that wait is refused, whatever the new queue holds."""
        self.start_with(1, concurrency=1, pool_limit=1)
        client = self.client()
        for channel in range(1, 6):
            self.ask(client, channel)
        self.put(
            "profiles",
            "default",
            {**self.profile, "concurrency": 1, "pool-limit": 1, "queue-limit": 1},
        )
        self.update()

        new = self.worker(self.app)
        self.clock.pass_time(0)
        for channel in range(2, 6):
            self.answer(new, channel, b"yes")

        self.assertEqual(
            client.take(),
            [f for c in range(2, 6) for f in ([c, 0, [b"yes"]], [c, 2, []])],
        )

    def test_deadlines_are_kept(self) -> None:
        """A deadline counts from when the event came, wherever it waits now."""
        self.start_with(1, concurrency=1, pool_limit=1, request_timeout=40)
        client = self.client()
        self.ask(client, 1)
        self.clock.pass_time(10)
        self.ask(client, 2)
        self.clock.pass_time(5)
        self.put(
            "profiles",
            "default",
            {**self.profile, "concurrency": 1, "request-timeout": 1000},
        )
        self.update()
        blocker = self.client()
        new = self.worker(self.app)
        self.clock.pass_time(0)
        new.take()
        self.ask(blocker, 1)
        self.clock.pass_time(20)
        new.heartbeat()
        self.clock.pass_time(14.9)
        self.assertFalse([frame for frame in client.take() if frame[0] == 2])

        self.clock.pass_time(0.2)

        self.assertEqual([frame[:2] for frame in client.take()], [[2, 1]])

    def test_deadline_in_the_queue(self) -> None:
        """One that gets no worker there in time is told so, and forgotten."""
        self.start_with(1, concurrency=1, pool_limit=1, request_timeout=40)
        client = self.client()
        for channel in (1, 2, 3):
            self.ask(client, channel)
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.clock.pass_time(41)

        self.assertEqual(
            [frame[2][0] for frame in client.take() if frame[0] == 3], [[20991, 1]]
        )
        self.assertEqual(len(self.app.overseer.backlog), 0)
        self.assertEqual(len(self.app.overseer._deadlines), 0)

    def test_client_of_a_waiting_event_leaves(self) -> None:
        """An event that was moved is still worked on when its client has gone."""
        self.start_with(1, concurrency=1, pool_limit=1)
        client = self.client()
        self.ask(client, 1)
        self.ask(client, 2, b"orphan")
        self.update()
        new = self.worker(self.app)
        client.disconnect()

        self.clock.pass_time(0)

        self.assertEqual(new.take()[0], [2, 0, [b"orphan"]])
        self.assertEqual(len(self.app.overseer.backlog), 0)

    def test_streams_go_on(self) -> None:
        """A stream stays with the worker that has it, both ways, to its end."""
        (old,) = self.start_with(1)
        client = self.client()
        client.send(1, ENQUEUE, b"stream")
        old.take()
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        self.assertEqual(old.take(), [])

        client.send(1, WRITE, b"question")
        old.chunk(2, b"answer")
        client.send(1, CLOSE)
        old.close(2)

        self.assertEqual(client.take(), [[1, 0, [b"answer"]], [1, 2, []]])
        self.assertEqual(old.take(), [[2, 0, [b"question"]], [2, 2, []], SEALING])

    def test_streams_without_end(self) -> None:
        """One that goes on has the seal-timeout and the terminate-timeout."""
        (old,) = self.start_with(1, seal_timeout=30, terminate_timeout=5)
        client = self.client()
        client.send(1, ENQUEUE, b"stream")
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        old.heartbeat()
        self.clock.pass_time(29)
        old.heartbeat()
        self.assertEqual(client.take(), [])

        self.clock.pass_time(2)
        self.assertEqual(old.take()[-1], [1, 1, [6, b"timed out while sealing"]])
        self.clock.pass_time(5)

        ((channel, kind, (pair, _)),) = client.take()
        self.assertEqual((channel, kind, pair), (1, 1, [2, 125]))
        self.assertEqual(self.isolates[0].stops, 1)

    def test_counters_go_on(self) -> None:
        """The counters are the app's: they do not begin anew."""
        (old,) = self.start_with(1)
        client = self.client()
        self.ask(client, 1)
        self.answer(old, 2, b"")
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)
        self.ask(client, 2)

        report = self.app.info(1)

        self.assertEqual(report["requests"], {"accepted": 2, "rejected": 0})
        self.assertEqual(report["pool"]["total:spawned"], 2)

    def test_open_connections(self) -> None:
        """The service is the same: a connection from before sees the change."""
        self.start_with(1)
        client = self.client()
        client.send(1, INFO)
        (before,) = client.take()
        self.put("profiles", "default", {**self.profile, "pool-limit": 3})
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        client.send(2, INFO)

        (after,) = client.take()
        self.assertEqual(before[2][0][b"pool"][b"capacity"], 10)
        self.assertEqual(after[2][0][b"pool"][b"capacity"], 3)
        self.assertIs(self.app.state, AppState.RUNNING)


class ThresholdTests(RolloverCase):
    """``publish-on`` of the release that serves counts."""

    def test_same_thresholds(self) -> None:
        """An app that can be found stays so all the time."""
        self.start_with(2, publish_on=2, unpublish_under=1)
        services = self.node.directory.services
        before = services["echo"]
        self.update()
        self.worker(self.app, 0)
        self.clock.pass_time(0)
        self.assertIs(services["echo"], before)
        self.worker(self.app, 1)
        self.clock.pass_time(12)

        self.assertIs(services["echo"], before)

    def test_new_threshold(self) -> None:
        """A release with a threshold that it does not reach cannot be found."""
        self.start_with(1)
        keys = {"publish-on": 2, "unpublish-under": 2}
        self.put("profiles", "default", {**self.profile, **keys})
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.assertEqual(self.node.directory.services, {})

    def test_no_threshold(self) -> None:
        """One without can be found at once."""
        self.start_with(1, publish_on=2, unpublish_under=1)
        self.assertEqual(self.node.directory.services, {})
        self.put("profiles", "default", self.profile)
        self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.assertEqual(list(self.node.directory.services), ["echo"])
