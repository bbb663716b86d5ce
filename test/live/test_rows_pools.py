# -*- test-case-name: cocained.test.live.test_rows_pools -*-
"""
Pools that look after themselves (rows 124, 143 to 146, 256, 257 and 260).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from typing_extensions import override

from cocained.test.live.support import (
    AppCase,
    LiveCase,
    differs,
    live_suite,
    pack,
    program,
    wait_for,
)
from cocained.test.live.transcript import play


class PoolCase(AppCase):
    """Tests that look at the pool of ``probe``."""

    def states(self) -> Mapping[bytes, int]:
        """Count the workers in each state."""
        slaves = self.node.info("probe")[b"pool"][b"slaves"].values()
        return Counter(slave[b"state"] for slave in slaves)

    def until_active(self, count: int) -> None:
        """Wait until so many workers are active, and there are no others."""
        wait_for(
            f"{count} active workers", lambda: self.states() == {b"active": count}, 10
        )


class GrowingTests(PoolCase):
    """A pool that follows its load."""

    limits = {"pool-limit": 3, "grow-threshold": 2, "concurrency": 1}

    def test_row_124_threshold(self) -> None:
        """For every two events that wait there is one worker (rows 99, 124)."""
        client = self.connect("probe")
        # In one packet: all four wait before any worker is there.
        client.send_bytes(b"".join(pack([n, 0, ["hang"]]) for n in range(1, 5)))
        self.until_active(2)
        client.send(5, 0, ["hang"])
        queue = wait_for(
            "three wait",
            lambda: (q := self.node.info("probe")[b"queue"])[b"depth"] == 3 and q,
            5,
        )
        self.assertEqual(queue[b"capacity"], 100)
        self.assertEqual(self.states(), {b"active": 2})

    def test_row_143_limit(self) -> None:
        """A pool grows with its load, as far as its limit (rows 143, 256)."""
        client = self.connect("probe")
        for number in range(1, 21):
            client.send(number, 0, ["hang"])
        self.until_active(3)
        report = self.node.info("probe")
        self.assertEqual(report[b"queue"][b"depth"], 17)
        self.assertEqual(report[b"pool"][b"total:spawned"], 3)

    def test_row_145_processes(self) -> None:
        """Each worker is a process of its own (row 145)."""
        client = self.connect("probe")
        for number in range(1, 21):
            client.send(number, 0, ["hang"])
        self.until_active(3)
        self.assertEqual(len(self.node.children()), 3)


class ShrinkingTests(PoolCase):
    """A pool whose load is over."""

    limits = {
        "pool-limit": 3,
        "grow-threshold": 1,
        "concurrency": 1,
        "idle-timeout": 0.7,
    }

    @differs("idle-timeout")
    def test_row_260_by_itself(self) -> None:
        """Workers come and go, and nobody has said how many (rows 143, 260)."""
        client = self.connect("probe")
        for number in range(1, 9):
            client.send(number, 0, ["hang"])
        self.until_active(3)
        client.close()
        wait_for("they end", lambda: not self.node.children(), 8)
        self.assertEqual(self.states(), {})
        with self.node.client("probe") as again:
            self.assertEqual(again.stream("ping"), [b"pong"])
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:crashed"], 0)


class ReplacementTests(PoolCase):
    """Workers that die or hang."""

    limits = {"concurrency": 1, "heartbeat-timeout": 2}

    def serves_the_queue(self, event: str, error: str) -> None:
        """Let a worker go wrong; what waits behind is served by the next one."""
        client = self.connect("probe")
        first = int(client.stream("who")[0])
        play(
            client,
            f"""
            > [2, 0, ["{event}"]]
            > [3, 0, ["ping"]]
            > [3, 2, []]
            < [2, 1, [{error}, "slave has been discarded"]]
            < [3, 0, ["pong"]]
            < [3, 2, []]
            """,
        )
        client.channel = 3
        self.assertNotEqual(int(client.stream("who")[0]), first)
        with self.assertRaises(ProcessLookupError):
            os.kill(first, 0)
        pool = self.node.info("probe")[b"pool"]
        self.assertEqual((pool[b"total:spawned"], pool[b"total:crashed"]), (2, 1))

    def test_row_143_dead(self) -> None:
        """A dead worker is replaced, and events that wait are kept (row 143)."""
        self.serves_the_queue("crash", "[5, 2]")

    def test_row_145_hung(self) -> None:
        """A hung worker is killed, and replaced likewise (rows 143, 145)."""
        self.serves_the_queue("stuck", "[2, 125]")


class BackOffTests(PoolCase):
    """Workers that die again and again (reference-behaviour.md §7.2)."""

    def test_back_off(self) -> None:
        """The next one comes after a second, then two; events wait meanwhile."""
        client = self.connect("probe")
        for number in (1, 2):
            client.send(number, 0, ["crash"])
            self.assertEqual(client.receive()[1], 1)
        client.send(3, 0, ["ping"])
        self.assertEqual(client.receive()[2], [b"pong"])
        log = self.node.log.read_text()
        self.assertIn("no other is spawned for 1.0 s", log)
        self.assertIn("no other is spawned for 2.0 s", log)


class ConfigurationTests(LiveCase):
    """Apps with profiles of their own."""

    PROFILES = {
        "small": {"pool-limit": 1, "queue-limit": 3, "concurrency": 2},
        "large": {"pool-limit": 7, "queue-limit": 70, "request-timeout": 0.3},
    }

    @override
    def prepare(self) -> None:
        """Start an app for each profile; it has the profile's name."""
        for name, profile in self.PROFILES.items():
            self.node.upload(name, {"worker": program("probe.py")})
            self.node.write("profiles", name, pack(profile), "profile")
            self.node.start_app(name, name)

    def test_row_146_each_its_own(self) -> None:
        """Each app has the limits of its profile, or the defaults (rows 146, 257)."""
        found = {
            name: (
                (report := self.node.info(name))[b"pool"][b"capacity"],
                report[b"queue"][b"capacity"],
            )
            for name in self.PROFILES
        }
        self.assertEqual(found, {"small": (1, 3), "large": (7, 70)})

    def test_row_146_at_work(self) -> None:
        """And they hold: five are taken, then three more are not (row 146)."""
        client = self.connect("small")
        client.stream("ping")
        for number in range(2, 10):
            client.send(number, 0, ["hang"])
        refused = client.take(3)
        self.assertEqual([frame[0] for frame in refused], [7, 8, 9])
        self.assertEqual({frame[2][0][0] for frame in refused}, {21247})

    def test_row_257_shown(self) -> None:
        """The documents are shown as they were stored (row 257)."""
        for name, profile in self.PROFILES.items():
            shown = self.node.info(name, 5)[b"profile"]
            self.assertEqual(
                shown,
                {
                    b"name": name.encode(),
                    b"data": {key.encode(): value for key, value in profile.items()},
                },
            )


test_suite = live_suite(__name__)
