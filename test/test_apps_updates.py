"""
An app that follows the storage takes over what is put there (row 187).
"""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.defer import Deferred

from cocained.apps.app import AppState
from cocained.errors import SpoolError
from cocained.test.rollover_case import RolloverCase

#: Seconds from one look to the next.
INTERVAL = 10.0


class AutoUpdateCase(RolloverCase):
    """An app that follows the storage."""

    profile = {"isolate": {"type": "memory"}, "auto-update": INTERVAL}

    def pass_looks(self, number: int) -> None:
        """Let time pass; workers live on."""
        for _ in range(number):
            self.first.heartbeat()
            self.clock.pass_time(INTERVAL * 1.1)

    def settle(self) -> None:
        """Let time pass until a release comes, or ought to have come."""
        known = len(self.isolates)
        for _ in range(40):
            if len(self.isolates) > known:
                break
            self.first.heartbeat()
            self.clock.pass_time(1)

    def roll(self) -> None:
        """Let the release that comes take over."""
        self.first = self.worker(self.app)
        self.clock.pass_time(0)
        self.assertEqual(self.told(), {"state": "done"})


class AutoUpdateTests(AutoUpdateCase):
    """What changes in the storage changes the app."""

    def setUp(self) -> None:
        super().setUp()
        self.start_with(1)

    def test_nothing_new(self) -> None:
        """Nothing happens as long as nothing changes."""
        self.pass_looks(10)

        self.assertEqual(len(self.isolates), 1)
        self.assertNotIn("update", self.app.info(0))
        self.assertRegex(self.app.info(0)["version"], r"^[0-9a-f]{12}$")

    def test_manifest(self) -> None:
        """A manifest that is put once takes effect."""
        self.put("manifests", "echo", {"slave": "newer"})

        self.settle()

        self.assertEqual(self.coming.spawns[0].executable, "newer")
        self.roll()

    def test_profile(self) -> None:
        """So does a profile."""
        self.put("profiles", "default", {**self.profile, "pool-limit": 3})

        self.settle()
        self.roll()

        self.assertEqual(self.app.overseer.profile.pool_limit, 3)

    def test_written_again(self) -> None:
        """What is written again is a new version if the storage takes it for one."""
        self.put("manifests", "echo", self.manifest)

        self.settle()

        self.assertEqual(len(self.isolates), 2)

    def test_one_after_the_other(self) -> None:
        """Each version is taken once."""
        for number in range(2, 5):
            self.put("manifests", "echo", {"slave": f"worker-{number}"})
            self.settle()
            self.roll()
            self.pass_looks(3)
            self.assertEqual(len(self.isolates), number)

    def test_switched_off(self) -> None:
        """A version whose profile does not want to be followed is the last."""
        self.put("profiles", "default", {"isolate": {"type": "memory"}})
        self.settle()
        self.roll()
        self.put("manifests", "echo", {"slave": "newer"})

        self.pass_looks(5)

        self.assertEqual(len(self.isolates), 2)

    def test_broken_version(self) -> None:
        """One that cannot serve is not tried again, until there is another."""
        self.put("manifests", "echo", {})
        self.pass_looks(20)
        self.assertEqual(self.told()["state"], "failed")
        self.assertEqual(len(self.isolates), 1)

        self.put("manifests", "echo", {"slave": "good"})
        self.settle()

        self.roll()

    def test_dying_workers(self) -> None:
        """One whose workers die is tried once."""
        self.put("manifests", "echo", {"slave": "bad"})
        self.settle()
        self.coming.spawns[0].exit(1)

        self.pass_looks(20)

        self.assertEqual(len(self.isolates), 2)
        self.assertEqual(self.told()["state"], "failed")

    def test_bad_archive(self) -> None:
        """So is one whose code is no archive."""
        self.refusal = SpoolError("no archive", errno.EILSEQ)
        self.put("manifests", "echo", {"slave": "newer"})

        self.pass_looks(20)

        self.assertEqual(len(self.isolates), 2)

    def test_full_disk(self) -> None:
        """What fails for lack of something is tried again, later and later."""
        self.refusal = SpoolError("No space left on device", errno.ENOSPC)
        self.put("manifests", "echo", {"slave": "newer"})
        self.pass_looks(12)
        attempts = len(self.isolates)
        self.assertIn(attempts, (3, 4, 5))
        self.refusal = None

        self.settle()
        self.pass_looks(12)

        self.assertGreater(len(self.isolates), attempts)

    def test_superseded(self) -> None:
        """A newer one takes the place of one that warms up."""
        self.put("manifests", "echo", {"slave": "newer"})
        self.put("profiles", "default", {**self.profile, "handshake-timeout": 600})
        self.settle()
        self.put("manifests", "echo", {"slave": "newest"})
        self.settle()

        self.assertEqual(self.coming.spawns[0].executable, "newest")
        self.roll()
        self.assertEqual(len(self.isolates), 3)

    def test_storage_is_down(self) -> None:
        """An app does not mind a storage that does not answer."""
        self.core.remove("manifests", "echo")
        self.pass_looks(5)
        self.assert_unchanged(1)
        self.assertNotIn("update", self.app.info(0))

        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()

        self.roll()

    def test_pause(self) -> None:
        """A paused app is followed no more."""
        self.put("manifests", "echo", {"slave": "newer"})
        stopped = self.stop(self.app, 1)
        self.clock.pass_time(30)

        self.successResultOf(stopped)
        self.assertIs(self.app.state, AppState.STOPPED)
        self.assert_nothing_left(self.app)

    def test_drain(self) -> None:
        """Nor is one that drains."""
        drained: Any = Deferred.fromCoroutine(self.app.drain())
        self.successResultOf(drained)
        self.put("manifests", "echo", {"slave": "newer"})

        self.pass_looks(4)

        self.assertEqual(len(self.isolates), 1)


class SameAgainTests(AutoUpdateCase):
    """A storage that takes the same for the same."""

    profile = {**AutoUpdateCase.profile, "handshake-timeout": 600}

    def setUp(self) -> None:
        super().setUp()

        def version(collection: str, key: str) -> Deferred[str]:
            return self.core.read(collection, key).addCallback(repr)

        self.patch(self.core, "version", version)
        self.start_with(1)

    def test_written_again(self) -> None:
        """What is written again as it was is no new version."""
        self.put("manifests", "echo", self.manifest)

        self.pass_looks(4)

        self.assertEqual(len(self.isolates), 1)

    def test_taken_back(self) -> None:
        """A version that is taken back while it warms up is given up."""
        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()
        self.assertEqual(self.told(), {"state": "warming up"})
        self.put("manifests", "echo", self.manifest)

        self.pass_looks(4)

        self.assertEqual(self.told()["cause"], "the update was given up")
        self.assert_unchanged()

    def test_taken_back_after_a_failure(self) -> None:
        """So is one that has failed: nothing is left to do, and it is not tried."""
        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()
        self.coming.spawns[0].exit(1)
        self.put("manifests", "echo", self.manifest)

        self.pass_looks(4)

        self.assert_unchanged()
        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()
        self.assertEqual(len(self.isolates), 3)


class RestTests(AutoUpdateCase):
    """An app that rests, and goes on."""

    def setUp(self) -> None:
        super().setUp()
        self.start_with(1)

    def rest(self) -> None:
        """Drain the app; an update that is under way is given up."""
        drained: Any = Deferred.fromCoroutine(self.app.drain())
        self.pass_looks(2)
        self.successResultOf(drained)

    def go_on(self) -> None:
        """Let it take events again."""
        self.successResultOf(Deferred.fromCoroutine(self.app.resume()))

    def test_found_afterwards(self) -> None:
        """What changed while it rested is found when it goes on."""
        self.rest()
        self.put("manifests", "echo", {"slave": "newer"})
        self.pass_looks(3)
        self.assertEqual(len(self.isolates), 1)

        self.go_on()
        self.settle()

        self.assertEqual(self.coming.spawns[0].executable, "newer")
        self.roll()

    def test_given_up(self) -> None:
        """An update that the rest has ended is begun anew."""
        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()
        self.rest()
        self.assertEqual(self.told()["state"], "failed")
        self.assertFalse(self.coming.spawns[0].alive)

        self.go_on()
        self.settle()

        self.roll()

    def test_events_of_both(self) -> None:
        """Events at the release that leaves count, and are waited for."""
        client = self.client()
        self.ask(client, 1)
        old = self.first
        self.put("manifests", "echo", {"slave": "newer"})
        self.settle()
        self.roll()
        self.ask(client, 2)
        self.assertEqual(self.app.events, 2)
        drained: Any = Deferred.fromCoroutine(self.app.drain())
        self.answer(self.first, 2, b"")
        self.assertNoResult(drained)

        self.answer(old, 2, b"")
        old.terminate(14)
        self.clock.pass_time(2)

        self.successResultOf(drained)
        self.assertEqual(self.app.events, 0)
