# -*- test-case-name: cocained.test.live.test_admin -*-
"""
Nodes that come to rest, by an operator's word or by SIGTERM, while they serve.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.faults import FaultCase, cycle
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.support import (
    LOOPBACK,
    STOP_TIMEOUT,
    Client,
    LiveNode,
    live_suite,
    program,
    wait_for,
)

#: The error that sends well-behaved clients elsewhere (tools.md §4.5).
ELSEWHERE = (12, 32)

#: What a node with ``admin`` has in its configuration here.
CHANGES = {
    "services": {"admin": {"type": "admin"}},
    "shutdown": {"settle": 0.6, "drain": 5.0, "kill": 1.0},
}


def tool(node: LiveNode, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start ``cocaine-tool`` for a node; *environment* is added to ours."""
    port = str(node.ports["locator"])
    return subprocess.Popen(
        [sys.executable, "-m", "cocained.tools.cli", *words, "--json", "--port", port],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def outcome(process: subprocess.Popen[bytes], timeout: float = 20) -> Any:
    """Wait for the tool, and give what it printed."""
    printed, told = process.communicate(timeout=timeout)
    if process.returncode:
        raise AssertionError(f"status {process.returncode}: {printed!r} {told!r}")
    return json.loads(printed)


class DrainTests(FaultCase):
    """An operator's drain, under load."""

    changes = CHANGES

    def status(self) -> Any:
        return outcome(tool(self.node, "node", "status"))

    def test_drain_and_resume(self) -> None:
        """
        Everything accepted is answered; what comes later is refused with the error
        that sends clients elsewhere; afterwards all is served as before, on old
        connections, too.
        """
        self.assertEqual(self.status()["state"], "serving")
        ledger = Ledger()
        load = self.load(ledger, width=4, depth=4, event=cycle(["slow", "echo"]))
        load.run(0.3)
        draining = tool(self.node, "node", "drain")
        self.node.wait_for_log("the node drains")
        before = ledger.count(Ending.REPLY)
        # It settles: new requests are served.
        load.run(0.3)
        self.assertGreater(ledger.count(Ending.REPLY), before)
        self.assertEqual(ledger.count(Ending.ERROR), 0)
        load.run(20.0, lambda: not ledger.count(Ending.ERROR))
        load.finish(5.0)

        last = outcome(draining)

        self.assertEqual((last["state"], last["requests"]), ("drained", 0))
        self.assert_kept(ledger)
        refused = ledger.count(Ending.ERROR, ELSEWHERE)
        self.assertGreater(refused, 0)
        self.assertEqual(ledger.count(Ending.ERROR), refused)
        # Nobody is sent to the app; operators and workers find what they need.
        with self.node.client("locator") as locator:
            self.assert_refused(10, 1, "not available", locator.call, 0, "faulty")
            for name in ("storage", "node", "admin", "logging"):
                self.assertTrue(locator.call(0, name))
        self.assertEqual(self.status()["state"], "drained")

        self.assertEqual(
            outcome(tool(self.node, "node", "resume")), {"state": "serving"}
        )

        self.assert_served()
        answered = ledger.count(Ending.REPLY)
        load.run(10.0, lambda: ledger.count(Ending.REPLY) == answered)
        load.finish(5.0)
        self.assertEqual(ledger.count(Ending.ERROR), refused)
        self.assertEqual(self.status()["state"], "serving")

    def test_too_slow(self) -> None:
        """Requests that do not end fail the command, not the node; it can resume."""
        with self.node.client("faulty") as client:
            client.send(1, 0, ["hold"])
            client.send(1, 0, [b"x"])
            wait_for("it is accepted", lambda: self.accepted, 10)

            draining = tool(self.node, "node", "drain", "--drain", "0.2")
            printed, _ = draining.communicate(timeout=20)

            self.assertEqual(draining.returncode, 128)
            error = json.loads(printed)["error"]
            self.assertIn("still running 0.2 s", error["message"])
            self.assertEqual(error["code"], 110)
            self.assertEqual(self.status()["state"], "draining")
        outcome(tool(self.node, "node", "resume"))
        self.assert_served()

    @property
    def accepted(self) -> int:
        return int(self.node.info("faulty")[b"requests"][b"accepted"])


class Roamer(threading.Thread):
    """
    A client that goes elsewhere when it is told to, and asks all the time.

    :param nodes: where it may go.
    """

    def __init__(self, nodes: list[LiveNode]) -> None:
        super().__init__(daemon=True)
        self._nodes = nodes
        self._over = threading.Event()
        self._client: Client | None = None
        self.answered = 0
        self.moved = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._ask()
            except Exception as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                return

    def _ask(self) -> None:
        if self._client is None:
            self._client = self._connect()
        token = b"%d" % self.answered
        try:
            answer = self._client.stream("echo", token)
        except RemoteError as error:
            if (error.category, error.code) != ELSEWHERE:
                raise
            self.moved += 1
            self._client.close()
            self._client = None
            return
        assert answer == [token], answer
        self.answered += 1

    def _connect(self) -> Client:
        """Ask the locators in turn; each may be gone, or know of no such app."""
        for node in self._nodes:
            try:
                return Client(node.resolve("faulty"))
            except (ConnectionRefusedError, RemoteError, AssertionError):
                continue
        raise AssertionError("the app is nowhere")

    def finish(self) -> None:
        """Ask no more."""
        self._over.set()
        self.join(20)
        if self._client is not None:
            self._client.close()


class RollingTests(FaultCase):
    """Two nodes that are restarted one after the other, under load."""

    changes = CHANGES

    def test_restart(self) -> None:
        """Not one request fails, as long as clients go where they are sent."""
        other = self.start_node(self.changes)
        self.put(other)
        other.start_app("faulty", "default")
        nodes = [self.node, other]
        roamers = [Roamer(order) for order in (nodes, nodes[::-1], nodes)]
        for roamer in roamers:
            roamer.start()
        try:
            for node in nodes:
                self.answer_more(roamers)
                assert node.process is not None
                node.process.send_signal(signal.SIGTERM)
                node.process.wait(STOP_TIMEOUT)
                self.answer_more(roamers)
                node.start()
                node.start_app("faulty", "default")
        finally:
            for roamer in roamers:
                roamer.finish()

        self.assertEqual([roamer.failures for roamer in roamers], [[], [], []])
        self.assertGreaterEqual(sum(roamer.moved for roamer in roamers), 3)

    def answer_more(self, roamers: list[Roamer]) -> None:
        """Wait until each client has had some more answers, or has failed."""
        wanted = [roamer.answered + 20 for roamer in roamers]
        wait_for(
            "all are answered",
            lambda: all(
                roamer.answered >= count or roamer.failures
                for roamer, count in zip(roamers, wanted, strict=True)
            ),
            20,
        )


class LinkedTests(FaultCase):
    """Two nodes that know each other, of which one rests."""

    changes = CHANGES

    @override
    def start_node(self, changes: Mapping[str, Any] | None = None) -> LiveNode:
        """Start both; gives the one that is to rest."""
        nodes = [LiveNode(changes) for _ in range(2)]
        for node, other in zip(nodes, nodes[::-1], strict=True):
            place = f"{LOOPBACK}:{other.ports['locator']}"
            node.configuration["services"]["locator"]["args"] = {
                "gateway": {"type": "adhoc"},
                "cluster": {
                    "type": "predefine",
                    "args": {"nodes": [place], "interval": 0.5},
                },
            }
            self.addCleanup(node.close)
            node.start()
            self.addCleanup(node.stop)
        self.other = nodes[1]
        return nodes[0]

    @override
    def prepare(self) -> None:
        """Run the app on both; a name of its own tells who has it alone."""
        super().prepare()
        self.put(self.other)
        self.other.start_app("faulty", "default")
        self.node.upload("alone", {"worker": program("probe.py")})
        self.node.start_app("alone", "default")
        self.until_known("alone", True)

    def found(self, node: LiveNode, name: str) -> int | None:
        """Ask a node where a service is; gives its port."""
        try:
            return node.resolve(name)
        except RemoteError as error:
            self.assertEqual((error.category, error.code), (10, 1))
            return None

    def until_known(self, name: str, wanted: bool) -> None:
        """Wait until the other node knows a service, or knows it no more."""
        wait_for(
            f"{name} known: {wanted}",
            lambda: (self.found(self.other, name) is not None) is wanted,
            20,
        )

    def test_elsewhere(self) -> None:
        """
        Clients of the node that rests are sent to the other one, which hears of it
        at once; what the node has for itself is still found there.
        """
        there = self.other.resolve("faulty")
        mine = {name: self.node.resolve(name) for name in ("admin", "node", "storage")}
        uuid = outcome(tool(self.node, "uuid"))

        outcome(tool(self.node, "node", "drain"))

        self.until_known("alone", False)
        self.assertEqual({self.found(self.node, "faulty") for _ in range(4)}, {there})
        self.assertEqual({self.found(self.other, "faulty") for _ in range(4)}, {there})
        for name, port in mine.items():
            self.assertEqual(self.node.resolve(name), port)
        status = outcome(tool(self.node, "node", "status"))
        self.assertEqual((status["uuid"], status["state"]), (uuid, "drained"))
        self.assertEqual(
            outcome(tool(self.other, "node", "status"))["state"], "serving"
        )

        outcome(tool(self.node, "node", "resume"))

        self.until_known("alone", True)
        self.assertNotEqual(self.node.resolve("faulty"), there)


test_suite = live_suite(__name__)
