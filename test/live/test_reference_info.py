# -*- test-case-name: cocained.test.live.test_reference_info -*-
"""
What ``info`` says of an app, key by key (reference-behaviour.md §6, N2b).
"""

from __future__ import annotations

from typing import Any

from cocained.test.live.support import AppCase, differs, live_suite, wait_for
from cocained.test.live.transcript import play


class ReportTests(AppCase):
    """The report of a running app."""

    limits = {"pool-limit": 10}

    def slaves(self) -> dict[bytes, Any]:
        """Give the workers that the report names."""
        slaves: dict[bytes, Any] = self.node.info("probe")[b"pool"][b"slaves"]
        return slaves

    @differs("N2b")
    def test_n2_report(self) -> None:
        """The report has the original's keys, and the flags add the documents."""
        with self.node.client("probe") as app:
            app.stream("ping")
        report = self.node.info("probe", 7)
        self.assertEqual(
            set(report),
            {
                b"load",
                b"manifest",
                b"pool",
                b"profile",
                b"publushed",
                b"queue",
                b"rate",
                b"rate_mean",
                b"requests",
                b"state",
                b"timings",
                b"timings_reversed",
                b"uptime",
            },
        )
        self.assertEqual(report[b"requests"], {b"accepted": 1, b"rejected": 0})
        self.assertEqual(report[b"profile"][b"data"][b"pool-limit"], 10)
        self.assertEqual(report[b"manifest"], {b"slave": b"worker"})
        pool = report[b"pool"]
        self.assertEqual(
            {key: pool[key] for key in pool if key != b"slaves"},
            {
                b"active": 0,
                b"capacity": 10,
                b"idle": 1,
                b"total:crashed": 0,
                b"total:spawned": 1,
            },
        )
        (slave,) = pool[b"slaves"].values()
        self.assertEqual(
            set(slave),
            {
                b"accepted",
                b"load:rx",
                b"load:total",
                b"load:tx",
                b"oldest_channel_age",
                b"profile",
                b"state",
                b"uptime",
                b"usage",
            },
        )
        self.assertEqual((slave[b"accepted"], slave[b"state"]), (1, b"active"))
        self.assertEqual(
            {key: slave[key] for key in slave if key.startswith(b"load")},
            {b"load:rx": 0, b"load:total": 0, b"load:tx": 0},
        )

    @differs("timings_reversed")
    def test_n2_numbers(self) -> None:
        """Queue, rates and timings have the original's keys, units and digits."""
        with self.node.client("probe") as app:
            app.stream("late")
        report = self.node.info("probe")
        self.assertEqual((report[b"load"], report[b"publushed"]), (0, True))
        self.assertEqual(
            set(report[b"queue"]),
            {b"capacity", b"depth", b"depth_average", b"oldest_event_age"},
        )
        self.assertEqual(len(report[b"rate"]), 3)
        for number in (*report[b"rate"], report[b"rate_mean"]):
            self.assertIsInstance(number, float)
            self.assertEqual(number, round(number, 3))
        timings = report[b"timings"]
        shares = ("50.00", "75.00", "90.00", "95.00", "98.00", "99.00", "99.95")
        self.assertEqual(set(timings), {f"{share}%".encode() for share in shares})
        # Milliseconds; the event took 400 of them, and its worker's start.
        self.assertTrue(all(350 < value < 15_000 for value in timings.values()))
        limits = (1, 2, 5, 10, 20, 50, 100, 500, 1000)
        reverse = report[b"timings_reversed"]
        self.assertEqual(set(reverse), {f"{limit}ms".encode() for limit in limits})
        self.assertEqual((reverse[b"1ms"], reverse[b"100ms"]), (0.0, 0.0))

    def test_n2_under_way(self) -> None:
        """Events at work are counted by half, and their ages are told."""
        app = self.connect("probe")
        play(
            app,
            """
            > [1, 0, ["hang"]]
            > [2, 0, ["hang"]]
            > [2, 2, []]
            > [3, 0, ["ping"]]
            < [3, 0, ["pong"]]
            < [3, 2, []]
            """,
        )
        report = self.node.info("probe")
        (slave,) = report[b"pool"][b"slaves"].values()
        self.assertEqual(
            {key: slave[key] for key in slave if key.startswith(b"load")},
            {b"load:rx": 2, b"load:total": 3, b"load:tx": 2},
        )
        self.assertEqual((report[b"load"], report[b"pool"][b"active"]), (3, 1))
        self.assertEqual(report[b"pool"][b"idle"], 0)
        wait_for(
            "the oldest gets old",
            lambda: (
                max(each[b"oldest_channel_age"] for each in self.slaves().values())
                >= 100
            ),
            5,
        )

    def test_n2b_flags(self) -> None:
        """Without the first flag the others mean nothing."""
        short = {b"publushed", b"state", b"uptime"}
        for flags in (0, 2, 4, 6):
            self.assertEqual(set(self.node.info("probe", flags)), short)
        with self.node.client("node") as node:
            self.assertEqual(set(node.call(3, "probe")[0]), short)

    def test_n2b_documents(self) -> None:
        """The second flag adds the manifest, the third the profile's keys."""
        with self.node.client("probe") as app:
            app.stream("ping")
        for flags, manifest, data in (
            (1, False, False),
            (3, True, False),
            (5, False, True),
            (7, True, True),
        ):
            report = self.node.info("probe", flags)
            (slave,) = report[b"pool"][b"slaves"].values()
            self.assertEqual(b"manifest" in report, manifest)
            for profile in (report[b"profile"], slave[b"profile"]):
                self.assertEqual(profile[b"name"], b"default")
                self.assertEqual(b"data" in profile, data)


test_suite = live_suite(__name__)
