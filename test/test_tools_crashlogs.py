# -*- test-case-name: cocained.test.test_tools_crashlogs -*-
"""Tests of :mod:`cocained.tools.crashlogs`."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from cocained.test.tool_case import NOW, ToolCase
from cocained.tools.crashlogs import STAMP_DIGITS, CrashLog, day_tag
from cocained.tools.failures import BadValue

FIRST = "1795341000000000:11111111-aaaa"
TODAY = "cocaine-2026-11-22"
SECOND = "1795341500000000:22222222-bbbb"


class KeyTests(SynchronousTestCase):
    """Names of logs."""

    def test_key(self) -> None:
        """A key is read and written."""
        log = CrashLog.from_key(FIRST)
        assert log is not None
        self.assertEqual(log, (1795341000000000, "11111111-aaaa"))
        self.assertEqual(log.key, FIRST)

    def test_other_keys(self) -> None:
        """What no node has written is no log."""
        for key in ("", "x", "12", ":x", "-1:x", "9" * 21 + ":x", "1.5:x"):
            self.assertIsNone(CrashLog.from_key(key))

    def test_largest_time(self) -> None:
        """The largest time that is read can be shown."""
        log = CrashLog.from_key("9" * STAMP_DIGITS + ":x")
        assert log is not None
        self.assertTrue(log.local_time)


class DayTests(SynchronousTestCase):
    """Days as people say them."""

    def tag(self, day: str) -> str:
        """The tag of a day, said on 2026-03-01."""
        return day_tag(day, datetime(2026, 3, 1, 12, tzinfo=UTC))

    def test_words(self) -> None:
        """A few letters are enough."""
        for day in ("today", "t"):
            self.assertEqual(self.tag(day), "cocaine-2026-03-01")
        for day in ("yesterday", "y"):
            self.assertEqual(self.tag(day), "cocaine-2026-02-28")

    def test_dates(self) -> None:
        """What is not said is this month, this year."""
        self.assertEqual(self.tag("7"), "cocaine-2026-03-07")
        self.assertEqual(self.tag("31-01"), "cocaine-2026-01-31")
        self.assertEqual(self.tag("29-02-2024"), "cocaine-2024-02-29")

    def test_leap_day(self) -> None:
        """The leap day can be said with its year in any year."""
        tag = day_tag("29-02", datetime(2028, 3, 1, tzinfo=UTC))
        self.assertEqual(tag, "cocaine-2028-02-29")

    def test_nonsense(self) -> None:
        """Anything else is refused with what one may say."""
        for day in ("tomorrow", "32", "2026-03-01", "29-02-2026"):
            with self.assertRaises(BadValue) as caught:
                self.tag(day)
            self.assertIn("31-12", caught.exception.hint)


class CrashlogTests(ToolCase):
    """Logs in the storage."""

    def setUp(self) -> None:
        super().setUp()
        self.store(
            "crashlogs", SECOND, ["boom\n", "bang"], "echo", "cocaine-2026-11-22"
        )
        self.store("crashlogs", FIRST, ["old"], "echo", "cocaine-2026-11-21")
        self.store("crashlogs", "odd", ["x"], "echo")
        self.store("manifests", "echo", {}, "app")
        self.store("manifests", "fine", {}, "app")

    def keys(self) -> list[str]:
        """The logs that are left."""
        return sorted(key for where, key in self.storage.blobs if where == "crashlogs")

    def test_now(self) -> None:
        """The day of these tests is what they say it is."""
        self.assertEqual(
            day_tag("t", datetime.fromtimestamp(NOW, UTC)), "cocaine-2026-11-22"
        )

    def test_list(self) -> None:
        """Logs are listed by their time, the latest one last."""
        rows = self.succeed("crashlog", "list", "-n", "echo").text.splitlines()
        self.assertEqual(len(rows), 2)
        self.assertTrue(rows[0].startswith("1795341000000000\t"))
        self.assertTrue(rows[1].endswith("\t22222222-bbbb"))

    def test_list_json(self) -> None:
        """For scripts they are objects."""
        rows = self.succeed("crashlog", "list", "-n", "echo", "--json").json
        self.assertEqual(rows[0]["uuid"], "11111111-aaaa")

    def test_list_day(self) -> None:
        """The logs of one day carry its tag as well."""
        rows = self.succeed("crashlog", "list", "-n", "echo", "-d", "today").text
        self.assertEqual(len(rows.splitlines()), 1)
        self.assertIn(("find", "crashlogs", "echo", TODAY), self.storage.log)

    def test_view_latest(self) -> None:
        """Without a time the latest log is shown."""
        self.assertEqual(
            self.succeed("crashlog", "view", "-n", "echo").text, "boom\nbang\n"
        )

    def test_view_one(self) -> None:
        """With a time that one is."""
        args = ("crashlog", "view", "-n", "echo", "-t", "1795341000000000")
        self.assertEqual(self.succeed(*args).text, "old\n")

    def test_view_json(self) -> None:
        """For scripts the lines are a list."""
        result = self.succeed("crashlog", "view", "-n", "echo", "--json")
        self.assertEqual(result.json, ["boom\n", "bang"])

    def test_view_none(self) -> None:
        """An app without logs is told."""
        errors = self.refuse(128, "crashlog", "view", "-n", "fine")
        self.assertIn("has no crash logs", errors)

    def test_view_unknown_time(self) -> None:
        """A time that no log has brings those there are."""
        args = ("crashlog", "view", "-n", "echo", "-t", "5")
        self.assertIn("1795341500000000", self.refuse(128, *args))

    def test_view_no_time(self) -> None:
        """What is no time is a bad value."""
        self.refuse(22, "crashlog", "view", "-n", "echo", "-t", "noon")

    def test_status(self) -> None:
        """Apps with logs are shown with how many they have."""
        rows = self.succeed("crashlog", "status", "--json").json
        self.assertEqual([(row["app"], row["count"]) for row in rows], [("echo", 2)])
        self.assertEqual(rows[0]["uuid"], "22222222-bbbb")

    def test_remove_one(self) -> None:
        """The log of one time is removed."""
        args = ("crashlog", "remove", "-n", "echo", "-t", "1795341000000000")
        self.assertEqual(self.succeed(*args, "--json").json["keys"], [FIRST])
        self.assertEqual(self.keys(), [SECOND, "odd"])

    def test_remove_all(self) -> None:
        """All logs of an app are removed, and nothing else."""
        self.succeed("crashlog", "removeall", "-n", "echo")
        self.assertEqual(self.keys(), ["odd"])
        self.assertIn(("manifests", "echo"), self.storage.blobs)

    def test_remove_without_time(self) -> None:
        """So they are by ``remove`` without a time."""
        self.succeed("crashlog", "remove", "-n", "echo")
        self.assertEqual(self.keys(), ["odd"])

    def test_clean_by_time(self) -> None:
        """What is older than a time is removed."""
        self.succeed("crashlog", "clean", "-n", "echo", "-t", "1795341500000000")
        self.assertEqual(self.keys(), [SECOND, "odd"])

    def test_clean_by_number(self) -> None:
        """So is what exceeds a number."""
        self.succeed("crashlog", "clean", "-n", "echo", "-s", "1")
        self.assertEqual(self.keys(), [SECOND, "odd"])
        self.succeed("crashlog", "clean", "-n", "echo", "-s", "0")
        self.assertEqual(self.keys(), ["odd"])

    def test_clean_needs(self) -> None:
        """Without either nothing is removed."""
        self.refuse(22, "crashlog", "clean", "-n", "echo")
        self.assertEqual(len(self.keys()), 3)
