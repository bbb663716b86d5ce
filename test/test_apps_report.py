"""
The report of a pool (protocol.md §6.2; reference-behaviour.md N2b, N3, N16).
"""

from __future__ import annotations

from typing import Any

from cocained.apps.documents import Manifest
from cocained.apps.report import Flags, overseer_report
from cocained.rpc.codec import pack
from cocained.test.app_case import CLOSE, ENQUEUE, AppCase

MANIFEST = Manifest.from_mapping("app", {"slave": "worker"})

TIMINGS = ["50.00%", "75.00%", "90.00%", "95.00%", "98.00%", "99.00%", "99.95%"]
REVERSED = ["1000ms", "100ms", "10ms", "1ms", "20ms", "2ms", "500ms", "50ms", "5ms"]


class ReportTests(AppCase):
    """What it says, key by key."""

    profile = {"pool-limit": 10, "concurrency": 10, "queue-limit": 100}

    def report(self, flags: int = Flags.OVERSEER) -> dict[str, Any]:
        found = overseer_report(self.overseer, MANIFEST, flags, self.clock.seconds())
        pack(found)  # whatever it says can travel
        return found

    def test_fresh(self) -> None:
        """A fresh app's report is that of N3, but for the state."""
        found = self.report()

        self.assertEqual(sorted(found.pop("timings")), TIMINGS)
        self.assertEqual(sorted(found.pop("timings_reversed")), REVERSED)
        self.assertEqual(
            found,
            {
                "load": 0,
                "pool": {
                    "active": 0,
                    "capacity": 10,
                    "idle": 0,
                    "slaves": {},
                    "total:crashed": 0,
                    "total:spawned": 0,
                },
                "profile": {"name": "test"},
                "queue": {
                    "capacity": 100,
                    "depth": 0,
                    "depth_average": 0.0,
                    "oldest_event_age": 0,
                },
                "rate": [0.0, 0.0, 0.0],
                "rate_mean": 0.0,
                "requests": {"accepted": 0, "rejected": 0},
            },
        )

    def test_idle_worker(self) -> None:
        """A worker after its event is idle, with the keys of N2b."""
        client, worker = self.started()
        self.clock.pass_time(1.745)
        self.finish(client, worker, 1, 2)
        self.clock.pass_time(20)

        found = self.report()

        self.assertEqual(
            found["pool"],
            {
                "active": 0,
                "capacity": 10,
                "idle": 1,
                "slaves": {
                    worker.uuid: {
                        "accepted": 1,
                        "load:rx": 0,
                        "load:total": 0,
                        "load:tx": 0,
                        "oldest_channel_age": 0,
                        "profile": {"name": "test"},
                        "state": "active",
                        "uptime": 21,
                    }
                },
                "total:crashed": 0,
                "total:spawned": 1,
            },
        )
        self.assertEqual(found["requests"], {"accepted": 1, "rejected": 0})
        self.assertEqual(set(found["timings"].values()), {1745.0})
        self.assertEqual(found["timings_reversed"]["1000ms"], 0.0)
        self.assertGreater(found["rate"][0], found["rate"][2])
        self.assertGreater(found["rate_mean"], 0.0)

    def test_usage(self) -> None:
        """What a worker takes is told where its isolate knows; ours."""
        _, worker = self.started()
        usage = {"memory": 4096, "cpu": 1.5, "processes": 2}
        self.spawn().resources = usage

        found = self.report()

        self.assertEqual(found["pool"]["slaves"][worker.uuid]["usage"], usage)

    def test_busy_worker(self) -> None:
        """Open halves are counted each for itself, and the oldest event's age."""
        client, worker = self.started()
        self.clock.pass_time(2)
        client.send(2, ENQUEUE, b"second")
        client.send(2, CLOSE)
        client.send(3, ENQUEUE, b"third")
        worker.close(4)
        self.clock.pass_time(1)

        found = self.report()

        (slave,) = found["pool"]["slaves"].values()
        self.assertEqual(found["load"], 3)
        self.assertEqual((found["pool"]["active"], found["pool"]["idle"]), (1, 0))
        self.assertEqual(
            (slave["load:tx"], slave["load:rx"], slave["load:total"]), (2, 2, 3)
        )
        self.assertEqual(slave["oldest_channel_age"], 3000)
        self.assertEqual(slave["accepted"], 3)

    def test_queue(self) -> None:
        """What waits, since when, and how many that were on average."""
        client = self.client()
        for channel in range(1, 4):
            client.send(channel, ENQUEUE, b"event")
        self.clock.pass_time(4)

        found = self.report()

        queue = found["queue"]
        self.assertEqual((queue["depth"], queue["oldest_event_age"]), (3, 4000))
        self.assertTrue(0 < queue["depth_average"] < 3)
        self.assertEqual((found["pool"]["active"], found["pool"]["idle"]), (0, 1))
        (slave,) = found["pool"]["slaves"].values()
        self.assertEqual(slave["state"], "handshaking")

    def test_rejected(self) -> None:
        """Refused events are counted apart."""
        self.make_overseer(queue_limit=2)
        client = self.client()
        for channel in range(1, 6):
            client.send(channel, ENQUEUE, b"event")

        self.assertEqual(self.report()["requests"], {"accepted": 2, "rejected": 3})

    def test_crashed(self) -> None:
        """Workers that ended badly are counted and gone."""
        _, worker = self.started()
        worker.disconnect()
        self.clock.pass_time(0.9)
        self.spawn().exit(1)

        pool = self.report()["pool"]

        self.assertEqual((pool["total:crashed"], pool["total:spawned"]), (1, 1))

    def test_manifest(self) -> None:
        """Flag 2 adds the manifest as it was stored (N2b)."""
        found = self.report(Flags.OVERSEER | Flags.MANIFEST)

        self.assertEqual(found["manifest"], {"slave": "worker"})
        self.assertNotIn("data", found["profile"])

    def test_profile(self) -> None:
        """Flag 4 adds the profile's keys, to each worker as well (N2b)."""
        self.started()

        found = self.report(Flags.OVERSEER | Flags.PROFILE)

        expected = {"name": "test", "data": dict(self.profile)}
        self.assertEqual(found["profile"], expected)
        (slave,) = found["pool"]["slaves"].values()
        self.assertEqual(slave["profile"], expected)
        self.assertNotIn("manifest", found)
