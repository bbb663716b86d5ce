# -*- test-case-name: cocained.test.live.test_rows_workers -*-
"""
The life of a worker, as the technical details promise it (rows 99 to 116).

The worker of these tests keeps a journal (``workers/journal.py``).
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.support import (
    Client,
    LiveCase,
    differs,
    live_suite,
    pack,
    program,
    wait_for,
)
from cocained.test.live.transcript import play


class JournalCase(LiveCase):
    """
    Tests with the app ``journal``, one worker of it.

    :cvar manifest: added to its manifest.
    :cvar manners: of its worker.
    :cvar limits: of its profile.
    """

    manifest: Mapping[str, Any] = {}
    manners = ""
    limits: Mapping[str, Any] = {}

    @override
    def prepare(self) -> None:
        """Upload the app and start it; its program is in a directory of its own."""
        self.place = self.node.directory / "journal"
        self.node.upload(
            "journal",
            {"bin/worker": program("journal.py")},
            {
                "slave": "bin/worker",
                "environment": {"JOURNAL": str(self.place), "MANNERS": self.manners},
                **self.manifest,
            },
        )
        limits = {"pool-limit": 1, **self.limits}
        self.node.write("profiles", "default", pack(limits), "profile")
        self.node.start_app("journal", "default")

    def entries(self, kind: str) -> list[list[Any]]:
        """Give what the journal says of a kind of happening."""
        if not self.place.exists():
            return []
        lines = self.place.read_text().splitlines()
        found = [json.loads(line)[1:] for line in lines]
        return [rest for first, *rest in found if first == kind]

    def until(self, kind: str) -> list[Any]:
        """Wait until something has happened, and give what it was first."""
        wait_for(f"{kind} in the journal", lambda: self.entries(kind), 8)
        return self.entries(kind)[0]

    def greet(self) -> Client:
        """Call the app, so that its worker is there."""
        app = self.connect("journal")
        self.pid = int(app.stream("who")[0])
        return app

    def until_gone(self) -> None:
        """Wait for the end of the worker."""
        wait_for("the worker ends", lambda: self.pid not in self.node.children(), 8)

    def crashed(self) -> int:
        """Count the workers that ended with an error."""
        return int(self.node.info("journal")[b"pool"][b"total:crashed"])


class StartTests(JournalCase):
    """From the need of a worker to its first event."""

    def test_row_99_first_worker(self) -> None:
        """An app has no worker until there is a first event (row 99)."""
        self.assertEqual(self.node.info("journal")[b"pool"][b"slaves"], {})
        self.greet()
        self.assertEqual(len(self.node.info("journal")[b"pool"][b"slaves"]), 1)

    def test_row_100_slave(self) -> None:
        """The path is that of the manifest, relative to the code (rows 100, 101)."""
        self.greet()
        arguments, place = self.entries("start")[0]
        self.assertEqual(os.path.normpath(arguments[0]), f"{place}/bin/worker")
        self.assertTrue(place.startswith(f"{self.node.directory}/spool/journal"))

    def test_row_102_arguments(self) -> None:
        """Five options, sorted, each with its value (rows 102, 103, 105, 106)."""
        self.greet()
        (_, *words), _ = self.entries("start")[0]
        names, values = words[::2], words[1::2]
        self.assertEqual(
            names, ["--app", "--endpoint", "--locator", "--protocol", "--uuid"]
        )
        assert self.node.process is not None
        self.assertEqual(
            values[:4],
            [
                "journal",
                f"{self.node.directory}/run/journal.{self.node.process.pid}",
                f"127.0.0.1:{self.node.ports['locator']}",
                "1",
            ],
        )
        (uuid,) = self.node.info("journal")[b"pool"][b"slaves"]
        self.assertEqual(values[4], uuid.decode())

    def test_row_101_absolute(self) -> None:
        """The path may be absolute as well (row 101)."""
        target = self.node.directory / "elsewhere"
        target.write_bytes(program("journal.py"))
        target.chmod(0o755)
        self.node.upload(
            "absolute",
            {"nothing": b""},
            {"slave": str(target), "environment": {"JOURNAL": str(self.place)}},
        )
        self.node.start_app("absolute", "default")
        with self.node.client("absolute") as app:
            app.stream("who")
        (arguments, _) = self.entries("start")[0]
        self.assertEqual(arguments[0], str(target))

    def test_row_111_delivery(self) -> None:
        """Events arrive as invoke, chunks and close, from channel 2 on (row 111)."""
        app = self.greet()
        self.assertEqual(app.stream("echo", b"one", b"two"), [b"one", b"two"])
        wait_for("all of it", lambda: len(self.entries("close")) == 2, 5)
        self.assertEqual(self.entries("invoke"), [[2, "who"], [3, "echo"]])
        self.assertEqual(self.entries("write"), [[3, "one"], [3, "two"]])
        self.assertEqual(self.entries("close"), [[2], [3]])

    def test_row_107_listens(self) -> None:
        """The engine listens when the app has started, before any worker (row 107)."""
        assert self.node.process is not None
        endpoint = f"journal.{self.node.process.pid}"
        self.assertTrue((self.node.directory / "run" / endpoint).is_socket())
        self.assertEqual(self.node.children(), [])


class SilentTests(LiveCase):
    """A worker that never shakes hands."""

    def test_row_108_startup_timeout(self) -> None:
        """Its time is over, it is killed, and its words are kept (row 108)."""
        self.node.upload(
            "silent",
            {"worker": program("broken.py")},
            {"environment": {"HOW": "silent"}},
        )
        # The name of the technical details; ours is handshake-timeout.
        self.node.profile("short", startup_timeout=2, pool_limit=1)
        self.node.start_app("silent", "short")
        self.connect("silent").send(1, 0, ["ping"])
        ((first, last),) = wait_for(
            "a crash log", lambda: self.node.crashlogs("silent"), 10
        )
        self.assertEqual(first, b"this is the silent worker")
        self.assertIn(b"timed out while activating", last)


class HandshakeTests(JournalCase):
    """Protocol 1: a worker has started with its handshake."""

    manners = "slow"

    def test_row_109_handshake(self) -> None:
        """Events flow from the handshake on, without any heartbeat (row 109)."""
        self.connect("journal").send(1, 0, ["who"])
        (text,) = self.until("too early")
        self.assertIn("who", text)
        (slave,) = self.node.info("journal")[b"pool"][b"slaves"].values()
        self.assertEqual(slave[b"state"], b"active")


class FirstHeartbeatTests(JournalCase):
    """Protocol 0: a worker is ready with its first heartbeat."""

    manifest = {"protocol": 0}
    manners = "slow"

    @differs("protocol 0")
    def test_row_110_first_heartbeat(self) -> None:
        """No event before it; those that have waited come right after (row 110)."""
        app = self.connect("journal")
        app.send(1, 0, ["who"])
        wait_for("the handshake", lambda: self.entries("start"), 8)
        self.assertEqual(app.rest(0.3), [])
        self.assertEqual(self.entries("too early"), [])
        self.place.with_name("journal.go").touch()
        self.assertEqual(app.receive()[:2], [1, 0])
        self.assertEqual(self.entries("invoke"), [[2, "who"]])


class ProtocolTests(JournalCase):
    """A whole life in protocol 0 (protocol.md §8.3)."""

    manifest = {"protocol": 0}

    def test_arguments(self) -> None:
        """The option ``--protocol`` is younger than the protocol."""
        self.greet()
        (_, *words), _ = self.entries("start")[0]
        self.assertEqual(words[::2], ["--app", "--endpoint", "--locator", "--uuid"])

    @differs("protocol 0")
    def test_streams(self) -> None:
        """Events, chunks, errors and closes are translated both ways."""
        app = self.greet()
        self.assertEqual(app.stream("echo", b"one", b"two"), [b"one", b"two"])
        error = self.assertRaises(RemoteError, app.stream, "fail")
        self.assertEqual((error.category, error.code, error.reason), (42, 7, "oops"))
        play(app, '> [9, 0, ["hang"]]\n> [9, 1, [[1, 2], "gave up"]]\n< (no answer)')
        self.assertEqual(self.until("error"), [5, 2, "gave up"])

    def test_heartbeats(self) -> None:
        """A heartbeat is answered by one."""
        self.greet()
        wait_for("two of them", lambda: len(self.entries("heartbeat")) > 1, 8)

    def test_terminate(self) -> None:
        """The worker is asked to end, answers, and is no crash."""
        self.greet()
        self.node.pause_app("journal")
        self.assertEqual(self.until("terminate"), [11, "overseer is shutting down"])
        self.until_gone()
        self.assertEqual(self.node.crashlogs("journal"), [])


class FarewellTests(JournalCase):
    """A worker that ends by itself."""

    def farewell(self, event: str) -> None:
        """Make the worker say farewell; see that the app serves on."""
        app = self.greet()
        play(
            app,
            f'> [5, 0, ["{event}"]]\n< [5, 1, [[2, 125], "slave has been discarded"]]',
        )
        self.until_gone()
        first = self.pid
        self.greet()
        self.assertNotEqual(self.pid, first)
        self.assertEqual(self.node.info("journal", 0)[b"state"], b"running")

    def test_row_112_all_is_well(self) -> None:
        """It says terminate, exits, and the app lives on with another (row 112)."""
        self.farewell("normal")

    def test_row_112_abnormal(self) -> None:
        """A farewell of code 2 breaks the app no more, as in 0.12.14 (row 112)."""
        self.farewell("abnormal")
        self.assertEqual(self.crashed(), 1)


class LingeringTests(JournalCase):
    """A worker that says terminate and stays."""

    manners = "lingers"

    @differs("kill")
    def test_row_113_sigterm(self) -> None:
        """It gets SIGTERM (row 113)."""
        app = self.greet()
        app.send(5, 0, ["normal"])
        self.assertEqual(self.until("signal"), [signal.SIGTERM])
        self.until_gone()

    @differs("kill")
    def test_row_116_sigterm(self) -> None:
        """So does one that has answered our terminate, and stays (row 116)."""
        self.greet()
        self.node.pause_app("journal")
        self.assertEqual(self.until("terminate")[0], 11)
        self.assertEqual(self.until("signal"), [signal.SIGTERM])
        self.until_gone()


class TerminateTests(JournalCase):
    """A worker that the node ends."""

    def test_row_114_pause(self) -> None:
        """When its app is paused it is told so (row 114)."""
        self.greet()
        self.node.pause_app("journal")
        self.assertEqual(self.until("terminate"), [11, "overseer is shutting down"])
        self.until_gone()

    def test_row_114_node_stops(self) -> None:
        """When its node stops, too (row 114)."""
        self.greet()
        assert self.node.process is not None
        self.node.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.until("terminate"), [11, "overseer is shutting down"])
        self.node.process.wait(8)


class IdleTests(JournalCase):
    """A worker with nothing to do."""

    limits = {"idle-timeout": 0.5}

    def test_row_114_idle(self) -> None:
        """It is told that it is idle (row 114)."""
        self.greet()
        self.assertEqual(self.until("terminate"), [13, "slave is idle"])
        self.until_gone()


class ShrinkingTests(JournalCase):
    """A worker too many."""

    limits = {"pool-limit": 2}

    def test_row_114_sealed(self) -> None:
        """It is told that it is sealed (row 114)."""
        node = self.connect("node")
        play(node, '> [1, 4, ["journal"]]\n> [1, 0, [2]]\n< (no answer)')
        wait_for("two workers", lambda: len(self.entries("heartbeat")) >= 2, 8)
        node.send(1, 0, [1])
        self.assertEqual(self.until("terminate"), [14, "slave is sealing"])


class DeafTests(JournalCase):
    """A worker that does not answer to terminate."""

    manners = "deaf"
    # The name in the code of that time; ours is terminate-timeout.
    limits = {"termination-timeout": 1}

    def test_row_115_terminate_timeout(self) -> None:
        """It has its time, and is killed (row 115)."""
        self.greet()
        self.node.pause_app("journal")
        self.until("terminate")
        self.until_gone()
        # Said when its time is over, not before.
        self.node.wait_for_log("did not answer to terminate")
        self.assertEqual(self.entries("signal"), [])


class CrashlogTests(JournalCase):
    """What is left of a worker (protocol.md §11.5)."""

    @differs("crash log")
    def test_layout(self) -> None:
        """A crash log is stored where, and as, the original's tools look for it."""
        app = self.greet()
        began = time.time()
        app.send(5, 0, ["print"])
        (lines,) = wait_for("a crash log", lambda: self.node.crashlogs("journal"), 8)
        self.assertEqual(set(lines[:2]), {b"to stdout", b"to stderr"})
        self.assertEqual(lines[2], b"no end")
        self.assertTrue(lines[3].startswith(b"[cocained] worker ended: "), lines)
        store = self.node.directory / "store" / "crashlogs"
        (name,) = [path.name for path in store.iterdir() if path.is_file()]
        stamp, _, uuid = name.partition(":")
        self.assertLess(abs(int(stamp) / 1e6 - began), 60)
        (_, *words), _ = self.entries("start")[0]
        self.assertEqual(uuid, words[-1])
        day = time.strftime("cocaine-%Y-%m-%d", time.gmtime(int(stamp) / 1e6))
        for tag in ("journal", day):
            self.assertEqual((store / tag / name).read_bytes(), pack(lines))


test_suite = live_suite(__name__)
