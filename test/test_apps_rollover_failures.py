"""
A new release of an app that cannot serve changes nothing (row 187).
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from zope.interface import implementer

from cocained.apps.library import Library
from cocained.errors import (
    AppStopped,
    CocainedError,
    DocumentError,
    IsolateError,
    SpoolError,
    StorageError,
    UnknownPlugin,
    WorkerCode,
)
from cocained.interfaces import ISpoolProgress
from cocained.storages.memory import MemoryStorage
from cocained.test.rollover_case import RolloverCase
from cocained.testing import MemoryIsolate


class RefusalTests(RolloverCase):
    """What keeps a release from coming, in the order of its phases."""

    def setUp(self) -> None:
        super().setUp()
        self.start_with(1)
        self.events = self.logged()

    def refuse(self, kind: type[CocainedError], releases: int = 2) -> CocainedError:
        """Expect an update to fail like this, and everything else to go on."""
        error = self.failureResultOf(self.update(), kind).value
        assert isinstance(error, CocainedError)
        self.assertEqual(
            self.told(),
            {"state": "failed", "error": error.code, "cause": error.reason},
        )
        self.assert_unchanged(releases)
        lines = [e for e in self.events if e["log_level"] is LogLevel.error]
        self.assertEqual([line["error"] for line in lines], [error])
        return error

    def test_no_manifest(self) -> None:
        """The manifest is gone."""
        self.core.remove("manifests", "echo")

        self.assertEqual(self.refuse(StorageError, 1).code, errno.ENOENT)

    def test_bad_manifest(self) -> None:
        """It cannot be used."""
        self.put("manifests", "echo", {})

        self.assertIn("runnable object", self.refuse(DocumentError, 1).reason)

    def test_bad_profile(self) -> None:
        """The profile cannot be used."""
        self.put("profiles", "default", {"pool-limit": 0})

        self.refuse(DocumentError, 1)

    def test_unknown_isolate(self) -> None:
        """It asks for an isolate that nobody has."""
        self.put("profiles", "default", {"isolate": {"type": "nosuch"}})

        self.refuse(UnknownPlugin, 1)

    def test_spool(self) -> None:
        """The code cannot be had."""
        self.refusal = SpoolError("Unrecognized archive", errno.EILSEQ)

        self.refuse(SpoolError)

    def test_spool_bug(self) -> None:
        """The isolate has a bug."""
        self.refusal = ZeroDivisionError("a bug")

        error = self.failureResultOf(self.update(), SpoolError).value

        self.assertIn("ZeroDivisionError", str(error))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_unchanged()

    def test_socket(self) -> None:
        """The socket of its workers cannot be had."""

        def refuse(*args: Any, **kw: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(self.clock, "listenUNIX", refuse)

        self.assertIn("No space left", self.refuse(SpoolError).reason)

    def test_no_locator(self) -> None:
        """No worker can be launched at all."""
        self.patch(self.node.directory, "endpoints", lambda name: ())

        self.refuse(IsolateError)
        self.assertEqual(self.coming.spawns, [])

    def test_worker_exits(self) -> None:
        """The only worker ends before its handshake; its output is kept."""
        done = self.update()
        self.coming.spawns[0].output(b"ImportError: no module")

        self.coming.spawns[0].exit(1)
        self.clock.pass_time(0)

        error = self.failureResultOf(done, IsolateError).value
        self.assertIn("exited with status 1 before its handshake", str(error))
        self.assert_unchanged()
        (lines,) = self.crashlogs().values()
        self.assertIn(b"ImportError: no module", lines)

    def test_worker_says_nothing(self) -> None:
        """It never shakes hands."""
        done = self.update()
        self.clock.pass_time(4.9)
        self.assertNoResult(done)

        self.clock.pass_time(0.2)

        error: Any = self.failureResultOf(done).value
        self.assertEqual(error.code, WorkerCode.ACTIVATE_TIMEOUT)
        self.assert_unchanged()

    def test_worker_leaves_at_once(self) -> None:
        """It shakes hands and is gone before it could get anything."""
        done = self.update()
        worker = self.worker(self.app)
        worker.disconnect()
        self.clock.pass_time(2)

        self.failureResultOf(done)
        self.assert_unchanged()

    def test_again(self) -> None:
        """An update that failed may be followed by one that does not."""
        self.refusal = SpoolError("no")
        self.failureResultOf(self.update(), SpoolError)
        self.refusal = None

        done = self.update()
        self.worker(self.app)
        self.clock.pass_time(0)

        self.successResultOf(done)
        self.assertEqual(self.told(), {"state": "done"})

    def test_not_running(self) -> None:
        """An app that does not run cannot be updated."""
        self.successResultOf(Deferred.fromCoroutine(self.app.drain()))
        self.failureResultOf(self.update(), AppStopped)
        self.stop(self.app)

        self.failureResultOf(self.update(), AppStopped)
        self.assertEqual(len(self.isolates), 1)


class MixtureTests(RolloverCase):
    """Documents and code of different versions never serve together."""

    def test_changed_while_it_was_spooled(self) -> None:
        """What changes before the code is there is not taken, nor the rest of it."""
        self.start_with(1)
        self.slow = True
        done = self.update()
        self.put("manifests", "echo", {"slave": "newer"})

        self.coming.spools[0].callback(None)

        error = self.failureResultOf(done, StorageError).value
        assert isinstance(error, StorageError)
        self.assertEqual(error.code, errno.EAGAIN)
        self.assertEqual(self.coming.spawns, [])
        self.assert_unchanged()

    def test_cache(self) -> None:
        """The copies of a cache are not asked, but brought up to date."""
        cache = MemoryStorage(self.node, "cache")
        self.library = Library(self.core, cache)
        self.start_with(1)
        self.put("manifests", "echo", {"slave": "newer"})

        self.update()

        self.assertEqual(self.coming.spawns[0].executable, "newer")
        self.worker(self.app)
        self.assertIn(b"newer", self.successResultOf(cache.read("manifests", "echo")))


class SupersedeTests(RolloverCase):
    """There is one update at a time, and the latest one counts."""

    def setUp(self) -> None:
        super().setUp()
        self.start_with(1)

    def test_while_spooling(self) -> None:
        """A release that is being spooled is given up for a newer one."""
        self.slow = True
        former = self.update()
        self.slow = False

        done = self.update()

        self.failureResultOf(former, AppStopped)
        self.assertEqual([i.stops for i in self.isolates], [0, 1, 0])
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)

    def test_while_loading(self) -> None:
        """Whatever one that was given up stumbles over is of no interest."""
        gate = self.core.gate = Deferred()
        former = self.update()
        self.core.gate = None
        events = self.logged()

        done = self.update()
        gate.errback(StorageError(errno.EIO, "it is down"))

        self.failureResultOf(former, AppStopped)
        errors = [e for e in events if e["log_level"] is LogLevel.error]
        self.assertEqual(errors, [])
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)

    def test_while_warming_up(self) -> None:
        """So is one that has workers already; they end first."""
        self.isolates.clear()
        former = self.update()
        spawn = self.coming.spawns[0]

        done = self.update()

        self.failureResultOf(former, AppStopped)
        self.assertFalse(spawn.alive)
        self.clock.pass_time(0)
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)
        self.assertEqual([i.stops for i in self.isolates], [1, 0])

    def test_stubborn_worker(self) -> None:
        """The workers of one that was given up count as a pool until they end."""
        self.put("profiles", "default", {**self.profile, "pool-limit": 2})
        self.app.control(1)
        former = self.update()
        self.coming.obedient = False

        done = self.update()
        self.failureResultOf(former, AppStopped)
        self.assertEqual(self.told(), {"state": "waiting"})

        self.isolates[1].spawns[0].exit(-9)
        self.clock.pass_time(0)
        self.assertEqual(self.told(), {"state": "warming up"})
        self.worker(self.app)
        self.clock.pass_time(0)
        self.successResultOf(done)

    def test_many(self) -> None:
        """However many come, only the last one is left."""
        self.slow = True
        former = [self.update() for _ in range(5)]
        self.slow = False

        done = self.update()

        for each in former:
            self.failureResultOf(each, AppStopped)
        self.worker(self.app)
        self.clock.pass_time(20)
        self.successResultOf(done)
        self.assertEqual([i.stops for i in self.isolates], [1, 1, 1, 1, 1, 1, 0])


class ProgressTests(RolloverCase):
    """How far the spooling of an update is."""

    def test_progress(self) -> None:
        """The isolate's word is in the report of the update."""
        self.start_with(1)

        @implementer(ISpoolProgress)
        class Telling(MemoryIsolate):
            progress = {"text": "half of it", "percent": 50}

        def make(node: Any, name: str, args: Any) -> Telling:
            isolate = Telling(node, name)
            isolate.slow = True
            return isolate

        self.node.factories["isolate", "memory"] = make

        self.update()

        self.assertEqual(
            self.told(),
            {"state": "spooling", "progress": {"text": "half of it", "percent": 50}},
        )
        self.assertNotIn("progress", self.app.info(0))

    def test_long_path(self) -> None:
        """A socket whose path is too long for the system fails the update only."""
        self.start_with(1)
        self.node.runtime = os.path.join(self.node.runtime, "r" * 100)

        error = self.failureResultOf(self.update(), SpoolError).value

        self.assertIn("paths.runtime", str(error))
