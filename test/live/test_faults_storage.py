# -*- test-case-name: cocained.test.live.test_faults_storage -*-
"""
Disks that fill up, cannot be written or hang, under a node that goes on.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.storages.names import RESERVED
from cocained.test.live.faults import FaultCase
from cocained.test.live.ledger import Ledger
from cocained.test.live.support import WORKERS, live_suite, missing, wait_for

#: The dropin of a storage that hangs.
DROPIN = """\
from cocained.repository import Entry

stuck = Entry("storage", "stuck", "stuck_storage.StuckStorage")
"""

#: Seconds that a storage has in these tests.
LIMIT = 1.0


def mount(place: Path, *options: str) -> None:
    """Mount something at *place*; only root can."""
    if os.getuid() != 0:
        raise missing("only root can mount a small file system")
    command = ["mount", *options, str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise missing(f"cannot mount: {done.stderr.decode().strip()}")


def unmount(place: Path) -> None:
    """Take it away, also while the node uses it."""
    subprocess.run(["umount", "-l", str(place)], check=False)


class MountCase(FaultCase):
    """One directory of the node is a file system of its own, and small."""

    part = "store"

    @override
    def prepare(self) -> None:
        """Mount it, then start the app."""
        self.place = self.node.directory / self.part
        mount(self.place, "-t", "tmpfs", "-o", "size=1m", "tmpfs")
        self.addCleanup(unmount, self.place)
        super().prepare()

    def fill(self) -> None:
        """Leave no room."""
        with (self.place / f"{RESERVED}ballast").open("wb", 0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError as error:
                self.assertEqual(error.errno, 28)

    def free(self) -> None:
        """Take away what :meth:`fill` put there."""
        (self.place / f"{RESERVED}ballast").unlink()

    def read(self, key: str) -> bytes:
        """Read a value."""
        with self.node.client("storage") as storage:
            value: bytes = storage.call(0, "ns", key)[0]
        return value

    def crash(self) -> RemoteError:
        """Let a worker die of a request, which leaves a crash log."""
        with self.node.client("faulty") as client:
            return self.assertRaises(RemoteError, client.stream, "die", b"now")


class FullStoreTests(MountCase):
    """A store that fills up while it is written."""

    def test_fills_up(self) -> None:
        """
        Each write is acknowledged or ENOSPC; what was acknowledged is whole, what
        was not is not there, and with room again all is as before.
        """
        kept = {}
        with self.node.client("storage") as storage:
            for number in range(200):
                key, value = f"key{number}", b"%d" % number * 8000
                try:
                    storage.call(1, "ns", key, value, ["tag"])
                except RemoteError as error:
                    self.assertEqual((error.category, error.code), (12, 28))
                    self.assertIn("No space left on device", error.reason)
                    break
                kept[key] = value
            else:
                self.fail("the store never filled up")
            self.assertRaises(RemoteError, storage.call, 1, "ns", "key0", b"y" * 99_999)
            (found,) = storage.call(3, "ns", ["tag"])
            self.assertEqual({name.decode() for name in found}, set(kept))
            for key, value in kept.items():
                self.assertEqual(storage.call(0, "ns", key), [value])
            names = {path.name for path in (self.place / "ns").iterdir()}
            self.assertEqual(names, {*kept, "tag"})
            storage.call(2, "ns", "key1")
            storage.call(1, "ns", key, value[:8000], ["tag"])
            self.assertEqual(storage.call(0, "ns", key), [value[:8000]])
        self.assert_served()

    def test_crashlog(self) -> None:
        """A crash log that finds no room is lost, and the log says so."""
        self.assert_served()
        self.fill()
        self.crash()
        self.node.wait_for_log("of app faulty is lost")
        self.assertIn("No space left on device", self.node.log.read_text())
        self.assert_served()
        self.free()
        self.crash()
        wait_for("a crash log", lambda: self.node.crashlogs("faulty"), 10)


class FullSpoolTests(MountCase):
    """No room for the code of apps."""

    part = "spool"

    def test_start(self) -> None:
        """An app that finds no room says so, and starts when there is some."""
        self.node.upload("second", {"worker": os.urandom(100_000)})
        self.fill()
        error: RemoteError = self.assertRaises(
            RemoteError, self.node.start_app, "second", "default"
        )
        self.assertIn("No space left on device", error.reason)
        self.assertIn("second", error.reason)
        info = self.node.info("second")
        self.assertEqual(info[b"state"], b"broken")
        self.assertEqual(info[b"cause"].decode(), error.reason)
        self.assertEqual(list(self.place.rglob("*.partial-*")), [])
        self.try_events(0.3, "echo")
        self.free()
        self.node.start_app("second", "default")
        self.assertEqual(self.node.info("second")[b"state"], b"running")


class ReadOnlyStoreTests(MountCase):
    """A store that can only be read."""

    def test_serves(self) -> None:
        """Apps start from it and serve; only what is written fails."""
        mount(self.place, "-o", "remount,ro")
        self.node.pause_app("faulty")
        wait_for("it has stopped", lambda: not self.node.children(), 10)
        self.node.start_app("faulty", "default")
        self.try_events(0.3, "echo")
        self.crash()
        self.node.wait_for_log("of app faulty is lost")
        self.assertIn("Read-only file system", self.node.log.read_text())
        self.assert_refused(
            12, 30, str(self.place), self.node.write, "ns", "key", b"value"
        )
        self.assert_served()


class HangingStoreTests(FaultCase):
    """A storage that never answers."""

    @override
    def setUp(self) -> None:
        """Put a plugin where the node finds it."""
        plugins = tempfile.TemporaryDirectory(prefix="cl")
        self.addCleanup(plugins.cleanup)
        directory = Path(plugins.name)
        self.stop_file = directory / "stuck"
        dropins = directory / "twisted" / "plugins"
        dropins.mkdir(parents=True)
        (dropins / "stuck_dropin.py").write_text(DROPIN)
        source = WORKERS / "stuck_storage.py"
        (directory / source.name).write_bytes(source.read_bytes())
        paths = [str(directory), *filter(None, [os.environ.get("PYTHONPATH")])]
        path = os.pathsep.join(paths)
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": path})
        arguments = {"path": str(self.stop_file)}
        core = {"type": "stuck", "args": arguments}
        self.changes = {"limits": {"storage": LIMIT}, "storages": {"core": core}}
        super().setUp()

    def test_hangs(self) -> None:
        """
        What needs the storage fails in time, with the cause; all else goes on, and
        when the storage answers again so does that.
        """
        self.node.upload("second", {"worker": b"#!/bin/sh"})
        self.assert_served()
        self.stop_file.touch()
        ledger = Ledger()
        load = self.load(ledger, timeout=10.0)
        waiting = [self.connect("node"), self.connect("storage")]
        began = time.monotonic()
        waiting[0].send(1, 0, ["second", "default"])
        waiting[1].send(1, 1, ["ns", "key", b"value", []])
        waiting[1].send(2, 3, ["ns", ["tag"]])
        load.run(LIMIT + 0.5)
        load.finish(5.0)
        self.assert_kept(ledger)
        self.assertEqual(ledger.share, 1.0)
        for frame in (waiting[0].receive(), waiting[1].receive(), waiting[1].receive()):
            self.assertEqual(frame[1:2] + frame[2][:1], [1, [12, 110]])
            self.assertIn(b"limits.storage", frame[2][1])
        self.assertLess(time.monotonic() - began, LIMIT + 10)
        self.node.wait_for_log("look for a disk that hangs")
        with self.node.client("node") as node:
            self.assertEqual(node.call(2), [[b"faulty"]])
        self.stop_file.unlink()
        self.node.start_app("second", "default")

    def test_stop(self) -> None:
        """A node whose storage hangs stops in order all the same."""
        self.stop_file.touch()
        self.connect("storage").send(1, 0, ["ns", "key"])
        self.connect("node").send(1, 0, ["faulty2", "default"])
        self.assertLess(self.node.stop(), 5)


test_suite = live_suite(__name__)
