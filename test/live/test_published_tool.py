# -*- test-case-name: cocained.test.live.test_published_tool -*-
"""
The published ``cocaine-tool`` 0.12.13.6, unmodified, against a node.

What it sends and prints: tools.md §1, §2 and §10.1.  It needs Python 2.7;
``.ci/published.sh`` says so where there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from typing_extensions import override

from cocained.test.live.support import LiveCase, live_suite, program, wait_for
from cocained.test.live.test_published import published

#: Seconds for one command; the tool needs about half a second to start.
COMMAND_TIMEOUT = 60.0

MANIFEST = {"slave": "worker", "environment": {"GREETING": "hello"}}
PROFILE = {"pool-limit": 1, "heartbeat-timeout": 20, "terminate-timeout": 2}


class ToolCase(LiveCase):
    """Runs the tool against the node of the test."""

    @override
    def setUp(self) -> None:
        """Find the tool, and only then start a node."""
        self.directory = published("tool")
        super().setUp()

    def tool(self, *arguments: str, status: int = 0) -> str:
        """
        Run a command.

        :param status: the exit status that it must have.
        :returns: what it printed.
        """
        command = [
            str(self.directory / "tool" / "bin" / "cocaine-tool"),
            *arguments,
            "--host=127.0.0.1",
            f"--port={self.node.ports['locator']}",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
            # Its own configuration is that of a home nobody has.
            env={
                **os.environ,
                "HOME": str(self.node.directory),
                "PYTHONPATH": "",
                "LC_ALL": "C.UTF-8",
            },
        )
        text = done.stdout.decode(errors="replace")
        errors = done.stderr.decode(errors="replace")
        self.assertEqual(done.returncode, status, f"{arguments}\n{text}\n{errors}")
        return text

    def json(self, *arguments: str) -> Any:
        """Run a command that prints JSON."""
        return json.loads(self.tool(*arguments))

    def upload(self) -> None:
        """Upload app and profile with the tool."""
        place = self.node.directory / "probe"
        place.mkdir()
        worker = place / "worker"
        worker.write_bytes(program("probe.py"))
        worker.chmod(0o755)
        (place / "manifest.json").write_text(json.dumps(MANIFEST))
        self.tool("app", "upload", str(place), "-n", "probe")
        self.tool("profile", "upload", "-n", "short", "-r", json.dumps(PROFILE))

    def running(self) -> None:
        """Upload and start the app."""
        self.upload()
        self.tool("app", "start", "-n", "probe", "-r", "short")


class AppTests(ToolCase):
    """``app``, ``info``, ``locate``."""

    def test_upload(self) -> None:
        """What was uploaded is listed and shown."""
        self.upload()
        self.assertEqual(self.json("app", "list"), ["probe"])
        self.assertEqual(self.json("app", "view", "-n", "probe"), MANIFEST)

    def test_start(self) -> None:
        """A started app runs, answers, is checked and located (row 126)."""
        self.tool("app", "check", "-n", "probe", status=128)
        self.running()
        with self.node.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])
        self.tool("app", "check", "-n", "probe")
        located = self.json("locate", "-n", "probe")
        self.assertEqual(located["api"], {"0": "enqueue", "1": "info", "2": "control"})
        port = self.node.resolve("probe")
        self.assertEqual(located["endpoints"], [f"127.0.0.1:{port}"])
        self.assertEqual(located["version"], 1)

    def test_environment(self) -> None:
        """The manifest's environment reaches the worker."""
        self.running()
        with self.node.client("probe") as app:
            self.assertIn(b"GREETING", app.stream("argv")[0])

    def test_twice(self) -> None:
        """A second start is an error that the tool can show."""
        self.running()
        text = self.tool("app", "start", "-n", "probe", "-r", "short", status=128)
        self.assertIn("already been started", text)

    def test_stop(self) -> None:
        """A stopped app runs no more; a second stop is an error."""
        self.running()
        self.tool("app", "stop", "-n", "probe")
        self.tool("app", "check", "-n", "probe", status=128)
        self.tool("app", "stop", "-n", "probe", status=128)

    def test_restart(self) -> None:
        """A restart finds the profile by itself and brings new workers."""
        self.running()
        with self.node.client("probe") as app:
            old = app.stream("who")
        self.tool("app", "restart", "-n", "probe")
        with self.node.client("probe") as app:
            self.assertNotEqual(app.stream("who"), old)
        info = self.node.info("probe")
        self.assertEqual(info[b"profile"][b"name"], b"short")

    def test_remove(self) -> None:
        """A removed app is gone from the storage."""
        self.upload()
        self.tool("app", "remove", "-n", "probe")
        self.assertEqual(self.json("app", "list"), [])
        self.tool("app", "view", "-n", "probe", status=128)
        self.tool("app", "remove", "-n", "probe", status=128)

    def test_info(self) -> None:
        """The report has manifest and profile when they are asked for."""
        self.running()
        report = self.json("info", "-n", "probe", "-m", "-p")
        self.assertEqual(report["count"], 1)
        app = report["apps"]["probe"]
        self.assertEqual(app["state"], "running")
        self.assertEqual(app["manifest"], MANIFEST)
        self.assertEqual(app["profile"], {"name": "short", "data": PROFILE})
        brief = self.json("info", "-b")
        self.assertNotIn("pool", brief["apps"]["probe"])

    def test_missing(self) -> None:
        """What is missing is named in the error."""
        self.upload()
        text = self.tool("app", "start", "-n", "probe", "-r", "nope", status=128)
        self.assertIn("profiles/nope", text)


class DocumentTests(ToolCase):
    """``profile`` and ``runlist``."""

    def test_profiles(self) -> None:
        """Profiles are uploaded, listed, shown, copied, renamed and removed."""
        self.tool("profile", "upload", "-n", "P1", "-r", '{"pool-limit": 2}')
        self.assertEqual(self.json("profile", "list"), ["P1"])
        self.assertEqual(self.json("profile", "view", "-n", "P1"), {"pool-limit": 2})
        self.tool("profile", "copy", "-n", "P1", "--copyname", "P2")
        self.tool("profile", "rename", "-n", "P1", "--copyname", "P3")
        self.assertEqual(self.json("profile", "list"), ["P2", "P3"])
        self.assertEqual(self.json("profile", "view", "-n", "P3"), {"pool-limit": 2})
        self.tool("profile", "remove", "-n", "P2")
        self.assertEqual(self.json("profile", "list"), ["P3"])

    def view(self, name: str, expected: Any) -> None:
        """Wait for a runlist: the tool does not wait for its writes (tools.md §2.3)."""
        wait_for(
            f"runlist {name} is {expected}",
            lambda: self.json("runlist", "view", "-n", name) == expected,
            10,
        )

    def test_runlists(self) -> None:
        """Runlists are created, filled, emptied and removed, without waiting."""
        self.tool("runlist", "create", "-n", "R")
        self.view("R", {})
        self.tool("runlist", "add-app", "-n", "R", "--app", "a", "--profile", "p")
        self.view("R", {"a": "p"})
        self.tool("runlist", "upload", "-n", "U", "--runlist", '{"x": "y"}')
        self.view("U", {"x": "y"})
        self.tool("runlist", "remove-app", "-n", "R", "--app", "a")
        self.view("R", {})
        self.tool("runlist", "copy", "-n", "U", "-c", "V")
        self.view("V", {"x": "y"})
        self.tool("runlist", "rename", "-n", "V", "-c", "W")
        self.view("W", {"x": "y"})
        self.tool("runlist", "remove", "-n", "R")
        wait_for("it is gone", lambda: self.json("runlist", "list") == ["U", "W"], 10)

    def test_add_app_forced(self) -> None:
        """``add-app -f`` reads behind a write that it did not wait for."""
        text = self.tool(
            "runlist", "add-app", "-n", "F", "--app", "a", "--profile", "p", "-f"
        )
        added = json.loads(text[text.index("{") :])
        self.assertEqual(added["added"], {"app": "a", "profile": "p"})
        self.view("F", {"a": "p"})


class GroupTests(ToolCase):
    """``group`` and ``routing``."""

    def test_groups(self) -> None:
        """A group is created, filled, refreshed, routed by, and removed."""
        self.tool("group", "create", "-n", "G", "-c", '{"storage": 1}')
        self.tool("group", "push", "-n", "G", "--app", "logging", "-w", "2")
        self.assertEqual(
            self.json("group", "view", "-n", "G"), {"storage": 1, "logging": 2}
        )
        self.tool("routing", "-n", "G", status=128)
        self.tool("group", "refresh", "-n", "G")
        shares = self.json("routing", "-n", "G")["G"]
        self.assertEqual(set(shares), {"storage", "logging"})
        self.assertGreater(float(shares["logging"]), float(shares["storage"]))
        self.tool("group", "pop", "-n", "G", "--app", "logging")
        self.assertEqual(self.json("group", "view", "-n", "G"), {"storage": 1})
        self.tool("group", "copy", "-n", "G", "-c", "H")
        self.tool("group", "rename", "-n", "H", "-c", "I")
        self.tool("group", "remove", "-n", "G")
        self.assertEqual(self.json("group", "list"), ["I"])
        self.tool("group", "refresh")
        # That asks for the groups that there are; a removed one must be named.
        self.tool("group", "refresh", "-n", "G")
        self.tool("routing", "-n", "G", status=128)
        self.assertEqual(set(self.json("routing", "-n", "I")["I"]), {"storage"})

    def test_refused(self) -> None:
        """A group without weights is refused by the tool itself."""
        self.tool("group", "create", "-n", "G", "-c", '{"a": 0}', status=22)


class CrashlogTests(ToolCase):
    """``crashlog``."""

    def test_crashlogs(self) -> None:
        """A crash is listed, shown with the worker's last words, and removed."""
        self.running()
        self.assertEqual(self.tool("crashlog", "list", "-n", "probe").strip(), "")
        with self.node.client("probe") as app:
            app.send(1, 0, ["crash"])
            self.assertEqual(app.receive()[1], 1)
        wait_for("the crash log", lambda: self.node.crashlogs("probe"), 5)
        (row,) = self.tool("crashlog", "list", "-n", "probe").strip().splitlines()
        self.assertIn("-", row)
        text = self.tool("crashlog", "view", "-n", "probe")
        self.assertIn("about to crash", text)
        self.assertIn("exited with status 3", text)
        status = self.tool("crashlog", "status")
        self.assertIn("probe", status)
        self.tool("crashlog", "removeall", "-n", "probe")
        self.assertEqual(self.node.crashlogs("probe"), [])

    def test_by_day(self) -> None:
        """The day's tag finds what crashed today."""
        self.running()
        with self.node.client("probe") as app:
            app.send(1, 0, ["crash"])
            app.receive()
        wait_for("the crash log", lambda: self.node.crashlogs("probe"), 5)
        listed = [
            self.tool("crashlog", "list", "-n", "probe", "-d", day).strip()
            for day in ("today", "yesterday")
        ]
        # The tool's day is local, the runtime's is UTC (tools.md §2.4).
        self.assertTrue(any(listed), listed)


class ClusterTests(ToolCase):
    """What needs the locator alone."""

    def test_cluster(self) -> None:
        """A node on its own has an empty cluster."""
        self.assertEqual(self.json("cluster"), {})

    def test_locate_unknown(self) -> None:
        """A name that nobody offers is an error."""
        text = self.tool("locate", "-n", "nope", status=128)
        self.assertIn("ervice is not available", text)


test_suite = live_suite(__name__)
