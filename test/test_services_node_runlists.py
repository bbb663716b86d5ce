# -*- test-case-name: cocained.test.test_services_node_runlists -*-
"""
The runlist of a node: apps that start with it, and those that come later.

Apps and their pools are the real ones, as in ``test_services_node``.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import formatEvent

from cocained.config import convert
from cocained.errors import ConfigError, SpoolError
from cocained.services.node import NodeArgs
from cocained.test.service_case import Client, MemoryWorker
from cocained.test.test_services_node import MISSING, NodeCase

#: Seconds from one look to the next.
LOOK = 10.0


class RunlistTests(NodeCase):
    """Apps that start with the node."""

    args = NodeArgs(runlist="boot")

    def run_list(self) -> list[str]:
        """Start the service; give what it logged as warnings."""
        events = self.record_log()
        self.assertIsNone(self.service.start())
        return [
            formatEvent(event)
            for event in events
            if event["log_level"].name in ("warn", "error")
        ]

    def test_apps(self) -> None:
        """All apps of the list run, without workers."""
        self.store("runlists", "boot", {"echo": "default", "echo3": "default"})

        self.assertEqual(self.run_list(), [])

        self.assertEqual(self.list(), ["echo", "echo3"])
        self.assertEqual([isolate.spawned for isolate in self.node.isolates], [[], []])

    def test_failing_apps(self) -> None:
        """An app that cannot start is logged, and the others start."""
        self.store(
            "runlists",
            "boot",
            {"../x": "default", "absent": "default", "echo": "default", "z": "nope"},
        )
        self.store("manifests", "z", {"slave": "worker"})

        warnings = self.run_list()

        self.assertEqual(self.list(), ["echo"])
        self.assertEqual(len(warnings), 3)
        for warning, app in zip(warnings, ("../x", "absent", "z"), strict=True):
            start = f"app {app} of runlist boot cannot be started: "
            self.assertTrue(warning.startswith(start), warning)

    def test_missing(self) -> None:
        """A runlist that is missing is logged; the node starts."""
        (warning,) = self.run_list()

        self.assertIn("runlist boot cannot be read, no app is started", warning)
        self.assertIn(MISSING, warning)
        self.assertEqual(self.list(), [])

    def test_broken(self) -> None:
        """So is one that is no runlist."""
        self.store("runlists", "boot", {"echo": 5})

        (warning,) = self.run_list()

        self.assertIn("'echo'", warning)
        self.assertEqual(self.list(), [])

    def test_storage_is_slow(self) -> None:
        """The node is there before its apps are."""
        self.store("runlists", "boot", {"echo": "default"})
        gate: Deferred[None] = Deferred()
        self.node.core.held["boot"] = gate

        self.run_list()
        self.assertEqual(self.list(), [])
        gate.callback(None)

        self.assertEqual(self.list(), ["echo"])

    def stop_service(self) -> Deferred[None]:
        stopped = self.service.stop()
        assert stopped is not None
        return stopped

    def test_no_runlist(self) -> None:
        """Without a runlist nothing is read."""
        service = self.build(NodeArgs())
        self.node.core.reads.clear()

        self.assertIsNone(service.start())

        self.assertEqual(self.node.core.reads, [])

    def test_stopped_meanwhile(self) -> None:
        """A node that stops while its runlist is read starts no app any more."""
        self.store("runlists", "boot", {"echo": "default"})
        gate: Deferred[None] = Deferred()
        self.node.core.held["boot"] = gate
        self.run_list()
        self.successResultOf(self.stop_service())

        gate.callback(None)

        self.assertEqual(self.list(), [])
        self.assertEqual(self.node.directory.endpoints("echo"), ())

    def test_stopped_between_apps(self) -> None:
        """Nor the rest of the list, when it stops in the midst of it."""
        events = self.record_log()
        self.store("runlists", "boot", {"echo": "default", "echo2": "default"})
        gate: Deferred[None] = Deferred()
        self.node.core.held["echo"] = gate
        self.run_list()
        self.successResultOf(self.stop_service())

        gate.callback(None)

        self.assertEqual(self.list(), [])
        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertEqual(self.node.directory.endpoints("echo2"), ())
        self.assertEqual([event for event in events if event.get("app") == "echo2"], [])


class RefreshTests(NodeCase):
    """``runlist-refresh``: what is put into the runlist once is done (row 187)."""

    args = NodeArgs(runlist="boot", runlist_refresh=LOOK)

    def setUp(self) -> None:
        super().setUp()
        self.store("runlists", "boot", {"echo": "default"})
        self.service.start()

    def look(self, looks: int = 1) -> None:
        self.node.reactor.pump([1.0] * int(looks * LOOK * 1.2))

    def event(self, app: str, isolate: int) -> tuple[Client, MemoryWorker]:
        """Give a client with an open event, and the worker that has it."""
        client = self.connect(self.service)
        client.send([1, 5, [app, "echo"]])
        worker = MemoryWorker(self.node, self.node.isolates[isolate])
        self.pass_time()
        self.assertEqual(worker.receive(), [[2, 0, ["echo"]]])
        return client, worker

    def test_added(self) -> None:
        """An app that is added is started."""
        self.store("runlists", "boot", {"echo": "default", "echo2": "default"})

        self.look()

        self.assertEqual(self.list(), ["echo", "echo2"])
        self.assertTrue(self.node.directory.endpoints("echo2"))

    def test_not_uploaded_yet(self) -> None:
        """One that is named before it is uploaded starts once it is there."""
        self.store("runlists", "boot", {"echo": "default", "later": "default"})
        self.look(2)
        self.assertEqual(self.list(), ["echo"])

        self.store("manifests", "later", {"slave": "worker"})
        self.look(8)

        self.assertEqual(self.list(), ["echo", "later"])

    def test_broken(self) -> None:
        """One that could not be spooled is tried again, and is broken till then."""
        self.node.spooling = SpoolError("no code")
        self.store("runlists", "boot", {"echo": "default", "echo2": "default"})
        self.look(2)
        self.assertEqual(self.info("echo2")["state"], "broken")
        self.node.spooling = None

        self.look(8)

        self.assertEqual(self.info("echo2")["state"], "running")

    def test_removed(self) -> None:
        """One that is taken out is found no more; what it does is finished."""
        client, worker = self.event("echo", 0)
        self.store("runlists", "boot", {})

        self.look()

        self.assertEqual(self.list(), [])
        self.assertEqual(self.node.directory.endpoints("echo"), ())
        self.assertEqual(client.receive(), [])
        client.send([1, 2, []])
        worker.send([2, 0, ["x"]], [2, 2, []])
        self.assertEqual(client.receive(), [[1, 0, ["x"]], [1, 2, []]])
        self.assertFalse(self.node.isolates[0].stopped)
        worker.send([1, 1, [0, "bye"]])
        self.pass_time(2)
        self.assertTrue(self.node.isolates[0].stopped)

    def test_removed_and_busy(self) -> None:
        """What never finishes has the profile's seal-timeout."""
        self.store(
            "profiles", "default", {"seal-timeout": 25, "heartbeat-timeout": 900}
        )
        self.pause("echo")
        self.started("echo2")
        self.service._follower._ours.add("echo2")  # type: ignore[union-attr]
        self.store("runlists", "boot", {"echo2": "default"})
        self.look()
        client, _ = self.event("echo2", 1)
        self.store("runlists", "boot", {})
        self.look(2)
        self.assertEqual(client.receive(), [])

        self.look(3)

        ((_, kind, _),) = client.receive()
        self.assertEqual(kind, 1)
        self.assertTrue(self.node.isolates[1].stopped)

    def test_other_profile(self) -> None:
        """One that is given another profile goes on with it, without a gap."""
        client, worker = self.event("echo", 0)
        self.store("profiles", "big", {"handshake-timeout": 600})
        self.store("runlists", "boot", {"echo": "big"})
        self.look()
        self.assertEqual(self.info("echo", 1)["profile"]["name"], "default")

        MemoryWorker(self.node, self.node.isolates[1])
        self.pass_time()

        self.assertEqual(self.info("echo", 1)["profile"]["name"], "big")
        client.send([1, 2, []])
        worker.send([2, 0, ["x"]], [2, 2, []])
        self.assertEqual(client.receive(), [[1, 0, ["x"]], [1, 2, []]])

    def test_missing_profile(self) -> None:
        """A profile that is not there is in the report, and the app goes on."""
        self.store("runlists", "boot", {"echo": "absent"})

        self.look()

        report = self.info("echo", 1)
        self.assertEqual(report["state"], "running")
        self.assertEqual(report["profile"]["name"], "default")
        self.assertEqual(report["update"]["state"], "failed")
        self.assertIn(MISSING, report["update"]["cause"])

    def test_paused_by_hand(self) -> None:
        """One that was paused stays paused."""
        self.pause("echo")

        self.look(5)

        self.assertEqual(self.list(), [])

    def test_stop(self) -> None:
        """A node that stops looks no more, and waits for those that leave."""
        self.event("echo", 0)
        self.store("runlists", "boot", {})
        self.look()
        stopped = self.service.stop()
        assert stopped is not None
        self.store("runlists", "boot", {"echo2": "default"})
        self.assertNoResult(stopped)

        self.look()

        self.successResultOf(stopped)
        self.assertEqual(self.list(), [])
        self.assertTrue(self.node.isolates[0].stopped)

    def test_argument(self) -> None:
        """Its key is that of a file."""
        args = convert({"runlist": "boot", "runlist-refresh": 5}, NodeArgs)

        self.assertEqual(args.runlist_refresh, 5.0)
        self.assertRaises(ConfigError, convert, {"runlist-refresh": -1}, NodeArgs)
