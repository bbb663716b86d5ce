# -*- test-case-name: cocained.test.live.test_failures -*-
"""
Apps that do not work: each says why, in words that a person can act on.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import Any

import msgpack
from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.support import (
    LiveCase,
    differs,
    live_suite,
    pack,
    program,
    wait_for,
)

#: A cold app of the tests fails within so many seconds, and is tried again.
FAILURE_TIMEOUT = 10.0


class StartCase(LiveCase):
    """Starts apps that go wrong."""

    profile = {
        "pool-limit": 1,
        "handshake-timeout": 1,
        "heartbeat-timeout": 1.5,
        "terminate-timeout": 1,
    }

    @override
    def prepare(self) -> None:
        """Store the profile, and an app that works."""
        self.node.write("profiles", "default", pack(self.profile), "profile")
        self.node.upload("good", {"worker": program("probe.py")})
        self.node.profile("good", pool_limit=1)
        self.node.start_app("good", "good")

    def still_serves(self) -> None:
        """See that the node's other app answers."""
        with self.node.client("good") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])


class WorkerTests(StartCase):
    """Workers that do not come up."""

    def crash(self, how: str, manifest: dict[str, Any] | None = None) -> str:
        """
        Start an app and call it; wait until its first worker has failed.

        :param how: see ``workers/broken.py``.
        :returns: its crash log.
        """
        self.node.upload(
            "broken",
            {"worker": program("broken.py")},
            {"environment": {"HOW": how}, **(manifest or {})},
        )
        self.node.start_app("broken", "default")
        app = self.connect("broken")
        app.send(1, 0, ["ping"])
        app.send(1, 2, [])
        (lines, *_) = wait_for(
            "a crash log", lambda: self.node.crashlogs("broken"), FAILURE_TIMEOUT
        )
        self.assertGreaterEqual(self.node.info("broken")[b"pool"][b"total:crashed"], 1)
        self.still_serves()
        return b"\n".join(lines).decode()

    def test_no_executable(self) -> None:
        """A program that is not in the archive is named, with its place."""
        text = self.crash("any", {"slave": "no/such/program"})
        self.assertIn("no/such/program", text)
        self.assertIn("there is no such file in the app's archive", text)

    def test_not_executable(self) -> None:
        """A program without the mode to be run says so."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("plain")
            member.mode = 0o644
            tar.addfile(member)
        self.node.write("apps", "plain", pack(buffer.getvalue()), "app")
        self.node.write("manifests", "plain", pack({"slave": "plain"}), "app")
        self.node.start_app("plain", "default")
        self.connect("plain").send(1, 0, ["ping"])
        (lines, *_) = wait_for(
            "a crash log", lambda: self.node.crashlogs("plain"), FAILURE_TIMEOUT
        )
        self.assertIn("it is not executable; chmod +x it", b"\n".join(lines).decode())

    @differs("start-up")
    def test_exits(self) -> None:
        """A program that ends at once leaves its last words and its status."""
        text = self.crash("exits")
        self.assertIn("no module named nothing", text)
        self.assertIn("exited with status 5 before its handshake", text)

    def test_silent(self) -> None:
        """A program that never shakes hands is ended, and called too slow."""
        text = self.crash("silent")
        self.assertIn("this is the silent worker", text)
        self.assertIn("timed out while activating", text)

    def test_stranger(self) -> None:
        """A program with another's uuid is refused, and so is its handshake."""
        text = self.crash("stranger")
        self.assertIn("worker ended", text)
        self.node.wait_for_log("unknown worker")
        self.assertRegex(
            self.node.log.read_text(),
            r"unknown worker '?00000000-0000-4000-8000-000000000000'? was refused",
        )

    def test_garbage(self) -> None:
        """A program that speaks no frames is not taken for a worker."""
        self.assertIn("worker ended", self.crash("garbage"))

    def test_no_heartbeats(self) -> None:
        """A worker that falls silent is ended, and called so."""
        text = self.crash("dumb")
        self.assertIn("timed out while waiting for heartbeat", text)

    def test_flood(self) -> None:
        """Of 100 MB of output the end is kept, and the node stays small."""
        text = self.crash("floods")
        self.assertIn("the flood is over", text)
        self.assertIn("exited with status 9", text)
        self.assertLess(len(text), 20_000_000)
        self.assertLess(self.resident(), 200)

    def resident(self) -> float:
        """Give the resident memory of the node, in MiB."""
        assert self.node.process is not None
        with open(f"/proc/{self.node.process.pid}/statm") as file:
            pages = int(file.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def test_back_off(self) -> None:
        """A broken app is not started without end."""
        self.crash("exits")
        spawned = self.node.info("broken")[b"pool"][b"total:spawned"]
        self.assertLessEqual(spawned, 3)

    def test_pause(self) -> None:
        """Its requests are answered when a person gives it up."""
        self.crash("exits")
        app = self.connect("broken")
        app.send(1, 0, ["ping"])
        self.node.pause_app("broken")
        frame = app.receive()
        self.assertEqual(frame[1], 1)
        self.assertEqual(frame[2][0], [12, 32])


class DocumentTests(StartCase):
    """Documents and archives that cannot be used."""

    def start(self, app: str, profile: str = "default") -> None:
        """Start an app, which should not work."""
        self.node.start_app(app, profile)

    def test_missing(self) -> None:
        """What is missing is named."""
        self.assert_refused(12, 2, "manifests/nothing", self.start, "nothing")
        self.node.upload("app1", {"worker": b""})
        self.assert_refused(12, 2, "profiles/nope", self.start, "app1", "nope")

    def test_profile(self) -> None:
        """Every mistake of a profile is named at once."""
        self.node.upload("app1", {"worker": b""})
        self.node.profile("bad", pool_limit="many", concurrency=0)
        error = self.assert_refused(12, 22, "pool-limit", self.start, "app1", "bad")
        self.assertIn("concurrency", error.reason)

    def test_truncated(self) -> None:
        """An archive that ends too early leaves nothing of its code behind."""
        self.node.upload("cut", {"worker": os.urandom(50_000)})
        with self.node.client("storage") as storage:
            packed = msgpack.unpackb(storage.call(0, "apps", "cut")[0], raw=True)
        self.node.write("apps", "cut", pack(packed[:20_000]), "app")
        error: RemoteError = self.assertRaises(RemoteError, self.start, "cut")
        self.assertTrue(error.reason)
        info = self.node.info("cut")
        self.assertEqual(info[b"state"], b"broken")
        self.assertEqual(info[b"cause"].decode(), error.reason)
        spool = self.node.directory / "spool" / "cut"
        left = list(spool.rglob("worker")) if spool.exists() else []
        self.assertEqual(left, [])
        self.still_serves()

    def test_escaping(self) -> None:
        """An archive does not write outside of its app's place."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            member = tarfile.TarInfo("../../escaped")
            tar.addfile(member)
        self.node.write("apps", "evil", pack(buffer.getvalue()), "app")
        self.node.write("manifests", "evil", pack({"slave": "w"}), "app")
        error: RemoteError = self.assertRaises(RemoteError, self.start, "evil")
        self.assertIn("escaped", error.reason)
        self.assertEqual(list(self.node.directory.rglob("escaped")), [])


test_suite = live_suite(__name__)
