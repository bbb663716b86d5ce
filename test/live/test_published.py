# -*- test-case-name: cocained.test.live.test_published -*-
"""
The published framework ``cocaine`` 0.12.14.5, unmodified, against a node.

``.ci/published.sh DIR`` installs it; the tests want ``COCAINED_PUBLISHED=DIR``.
What it does and expects: tools.md §6 and §10.2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest
from typing_extensions import override

from cocained.test.live.support import WORKERS, LiveCase, live_suite, missing, wait_for

PUBLISHED = "COCAINED_PUBLISHED"

#: Seconds for a program of the old days to start, work and end.
RUN_TIMEOUT = 90.0

#: Packaged as an app: a Python 2.7 worker needs up to a second to start.
PROFILE = {
    "pool-limit": 1,
    "handshake-timeout": 20,
    "heartbeat-timeout": 60,
    "terminate-timeout": 3,
}


def published(part: str) -> Path:
    """
    Find an environment with published programs.

    :param part: ``framework`` or ``tool``.
    :raises SkipTest: there is none, and why.
    """
    place = os.environ.get(PUBLISHED)
    if not place:
        raise missing(f"run .ci/published.sh DIR and set {PUBLISHED}=DIR")
    directory = Path(place).absolute()
    reason = directory / f"{part}.missing"
    if reason.exists():
        # Not everything can be had everywhere; that is said, and no failure.
        raise SkipTest(reason.read_text().strip())
    if not (directory / part / "done").exists():
        raise missing(f"{directory} has no {part}: run .ci/published.sh {directory}")
    return directory


class Framework3:
    """The framework on Python 3, with the names that it misses there."""

    part = "framework"

    def environment(self, directory: Path) -> dict[str, str]:
        """Say what a program of this environment needs."""
        return {"PYTHONPATH": str(directory / "shim")}


class Framework2:
    """The framework on the Python for which it was written."""

    part = "tool"

    def environment(self, directory: Path) -> dict[str, str]:
        """Say what a program of this environment needs."""
        return {"PYTHONPATH": ""}


class FrameworkMixin:
    """
    Client and worker on the published framework.

    :cvar flavour: which environment.
    """

    flavour: Framework2 | Framework3

    @override
    def setUp(self: Any) -> None:
        """Find the programs, and only then start a node."""
        self.directory = published(self.flavour.part)
        super().setUp()

    @override
    def prepare(self: Any) -> None:
        """Upload the app."""
        self.python = self.directory / self.flavour.part / "bin" / "python"
        self.environment = self.flavour.environment(self.directory)
        source = (WORKERS / "published_worker.py").read_bytes()
        program = f"#!{self.python}\n".encode() + source
        self.node.upload(
            "published", {"worker": program}, {"environment": self.environment}
        )
        self.node.profile("default", **PROFILE)

    def client(self: Any, scenario: str) -> subprocess.Popen[bytes]:
        """Start a client."""
        return subprocess.Popen(
            [
                str(self.python),
                str(WORKERS / "published_client.py"),
                str(self.node.ports["locator"]),
                scenario,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **self.environment},
        )

    def result(self: Any, client: subprocess.Popen[bytes]) -> Any:
        """Wait for a client and give what it has seen."""
        output, errors = client.communicate(timeout=RUN_TIMEOUT)
        self.assertEqual(client.returncode, 0, errors.decode(errors="replace"))
        return json.loads(output)

    def run_client(self: Any, scenario: str) -> Any:
        """Run a client and give what it has seen."""
        return self.result(self.client(scenario))

    def test_resolve(self: Any) -> None:
        """The locator resolves, refuses and tells its uuid."""
        found, lost, uuid = self.run_client("resolve")
        self.assertEqual(found, [[["127.0.0.1", self.node.ports["storage"]]], 1])
        self.assertEqual(lost, {"error": [10, 1, "service is not available"]})
        self.assertEqual(len(uuid), 36)

    def test_storage(self: Any) -> None:
        """What is written is read, found, removed, and then missing."""
        written, read, found, removed, error, none = self.run_client("storage")
        self.assertEqual((written, removed), ([], []))
        self.assertEqual((read, found, none), ("a value", ["key"], []))
        self.assertEqual(error["error"][:2], [12, 2])
        self.assertIn("documents/key", error["error"][2])

    def test_logging(self: Any) -> None:
        """What is emitted is in the node's log."""
        self.assertEqual(self.run_client("logging"), [0, 0])
        self.node.wait_for_log("error app/published: said by a client answer=42")

    def test_node(self: Any) -> None:
        """An app is started, described and paused; twice is refused."""
        none, started, again, some, info, paused, gone, twice = self.run_client("node")
        self.assertEqual((none, started, paused, gone), ([], [], [], []))
        self.assertEqual(some, ["published"])
        self.assertEqual(again["error"][:2], [20991, 5])
        self.assertEqual(info["state"], "running")
        self.assertEqual(twice["error"][:2], [20991, 6])

    def test_streaming(self: Any) -> None:
        """Chunks go both ways, one by one and many at once."""
        self.node.write("documents", "key", b"from the storage")
        self.node.start_app("published", "default")
        back, many, read, turns = self.run_client("streaming")
        self.assertEqual(back, ["one", "two", "three"])
        self.assertEqual(many, [f"chunk {number}" for number in range(50)])
        self.assertEqual(read, ["from the storage"])
        self.assertEqual(turns, ["a", "b", "c", None])

    def test_errors(self: Any) -> None:
        """A handler that raises is [42, 100], one that is missing [42, 200]."""
        self.node.start_app("published", "default")
        raised, unknown, refused = self.run_client("errors")
        self.assertEqual(raised[0]["error"][:2], [42, 100])
        self.assertIn("handler blew up", raised[0]["error"][2])
        self.assertEqual(unknown[0]["error"][:2], [42, 200])
        self.assertEqual(refused[0]["error"], [42, 17, "no such luck"])

    def test_crash(self: Any) -> None:
        """A crash fails its request, and the next one has a new worker."""
        self.node.start_app("published", "default")
        first, crashed, second = self.run_client("crash")
        # The end of the stream, or a reset if there was something left to read.
        self.assertIn(crashed[0]["error"][:2], [[5, 2], [2, 104]])
        self.assertNotEqual(first, second)
        (lines,) = self.node.crashlogs("published")
        self.assertIn(b"exited with status 7", lines[-1])

    def test_behind_walls(self: Any) -> None:
        """Without a network it works as ever; of the locator it gets an odd host."""
        if not shutil.which("bwrap"):
            raise missing("no bwrap: install bubblewrap")
        args = {"sandbox": "bwrap", "bwrap": {"binds": [f"{self.directory}:ro"]}}
        isolate = {"type": "process", "args": args}
        self.node.profile("walled", **PROFILE, isolate=isolate)
        self.node.start_app("published", "walled")
        # The number of a process in the sandbox, where there are few.
        (number,) = self.run_client("who")
        self.assertLess(int(number), 20)

    def test_restart(self: Any) -> None:
        """A restart of the app gives it new workers."""
        self.node.start_app("published", "default")
        first = self.run_client("who")
        self.node.pause_app("published")
        self.node.start_app("published", "default")
        self.assertNotEqual(self.run_client("who"), first)

    def test_pause(self: Any) -> None:
        """A pause ends the worker, which answers to terminate, and its requests."""
        self.node.start_app("published", "default")
        client = self.client("hang")
        wait_for(
            "it is at work", lambda: self.node.info("published")[b"load"], RUN_TIMEOUT
        )
        self.node.pause_app("published")
        (answer,) = self.result(client)
        self.assertEqual(answer["error"][:2], [2, 125])
        wait_for("the worker ends", lambda: not self.node.children(), 5)
        self.assertNotIn("did not answer to terminate", self.node.log.read_text())
        self.assertEqual(self.node.crashlogs("published"), [])


class Framework3Tests(FrameworkMixin, LiveCase):
    """The framework on Python 3."""

    flavour = Framework3()


class Framework2Tests(FrameworkMixin, LiveCase):
    """The framework on Python 2.7."""

    flavour = Framework2()


test_suite = live_suite(__name__)
