# -*- test-case-name: cocained.test.live.test_cluster_demo -*-
"""
The steps, and the end of all that they have started.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster_demo import crowd
from cluster_demo.nodes import RUNLIST, Node
from cluster_demo.seconds import Request, Table
from cocained.errors import CocainedError
from cocained.testing.lab import Lab
from cocained.tools.bench.process import Child
from demonstration.screen import Screen

#: Nodes, one on each host; the last is the one that dies.
NAMES = ("one", "two", "three")

#: The app, and the event that it has.
APP = "who"

#: How it is run: one worker is plenty.
PROFILE = '{"pool-limit": 1, "isolate": {"type": "process"}}'

#: Seconds of load; when the node dies, and when it is started again.
LOAD, DEATH, RETURN = 15.0, 4.0, 8.0

#: Seconds until nodes must know of each other.
NEWS_TIMEOUT = 20.0

#: Seconds in which the clients must say something.
SILENCE = 20.0

HERE = Path(__file__).resolve().parent.parent


class NotFound(CocainedError):
    """The nodes have not found each other in time."""


class Tour:
    """
    The demonstration, from the second step on.

    :param screen: where it is shown.
    :ivar record: what was found, for programs.
    """

    def __init__(self, screen: Screen) -> None:
        self.record: dict[str, Any] = {}
        self._screen = screen
        self._stack = contextlib.ExitStack()
        self._nodes: dict[str, Node] = {}

    def close(self) -> None:
        """End everything, and remove what it has left."""
        with self._screen.step("clean-up", "everything ended, and removed"):
            self._stack.close()

    def run(self) -> None:
        """
        Show everything.

        :raises CocainedError: something failed; :meth:`close` is due all the same.
        """
        self._make_network()
        self._start_nodes()
        self._start_app()
        self._load()

    def _make_network(self) -> None:
        what = f"{len(NAMES) + 1} hosts on one bridge: network namespaces of their own"
        with self._screen.step("network", what):
            self._place = Path(tempfile.mkdtemp(prefix="cocained-demo-"))
            self._stack.callback(shutil.rmtree, self._place)
            self._lab = self._stack.enter_context(Lab("demo"))
            for name in (*NAMES, "clients"):
                host = self._lab.add_host(name)
                self._screen.say(f"{name:8} {host.address}")

    def _start_nodes(self) -> None:
        what = "a node on three of them; they find each other by multicast"
        with self._screen.step("nodes", what):
            store = self._place / "store"
            for name in NAMES:
                host = self._lab.hosts[name]
                self._nodes[name] = Node(self._screen, host, self._place, store)
                self._stack.callback(self._nodes[name].close)
            self._screen.command("twistd", "-n", "cocained", "-c", "node.yaml")
            for node in self._nodes.values():
                node.start()
            for node in self._nodes.values():
                node.wait()
            self._wait_linked()
            self._nodes[NAMES[0]].tool("cluster")

    def _wait_linked(self) -> None:
        until = time.monotonic() + NEWS_TIMEOUT
        for node in self._nodes.values():
            while len(self._peers(node)) < len(NAMES) - 1:
                if time.monotonic() > until:
                    raise NotFound(f"{node.host.name} has not found all others")

    def _peers(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(node.tool("cluster", "--json", show=False))
        return found

    def _uuid(self, node: Node) -> str:
        return str(json.loads(node.tool("uuid", "--json", show=False)))

    def _start_app(self) -> None:
        what = "an app that says where it was asked, started by all nodes"
        with self._screen.step("app", what):
            first = self._nodes[NAMES[0]]
            first.tool("profile", "upload", "-n", "default", "--profile", PROFILE)
            first.tool("app", "upload", "-n", APP, str(HERE / APP))
            entry = ("--app", APP, "--profile", "default")
            first.tool("runlist", "add-app", "-n", RUNLIST, *entry, "--force")
            for node in self._nodes.values():
                node.tool("app", "start", "-n", APP, "-r", "default")
            first.tool("call", APP, "enqueue", APP)

    def _load(self) -> None:
        victim = self._nodes[NAMES[-1]]
        what = f"{crowd.CLIENTS} clients on the fourth host; node {NAMES[-1]} dies"
        with self._screen.step("load", what):
            former = self._uuid(victim)
            addresses = [node.host.address for node in self._nodes.values()]
            names = {node.host.address: name for name, node in self._nodes.items()}
            table = Table(names)
            words = [sys.executable, "-m", crowd.__name__, str(LOAD), APP, *addresses]
            clients = Child(
                "the clients",
                self._lab.hosts["clients"].command(words),
                self._place / "clients.log",
                environment={"PYTHONPATH": str(HERE)},
            )
            with clients:
                self._watch(clients, table, victim)
            summary = table.sum()
            self._screen.say(
                f"\n{summary['requests']} requests: {summary['answered']} answered,"
                f" {summary['failed']} failed"
            )
            uuids = {"before": former, "after": self._uuid(victim)}
            self.record |= {"load": summary, "table": table.record(), "uuid": uuids}

    def _watch(self, clients: Child, table: Table, victim: Node) -> None:
        """Show what clients say, and let happen what happens at its time."""
        due: list[tuple[float, str, Callable[[], None]]] = [
            (DEATH, f"{NAMES[-1]} is killed (-9)", victim.kill),
            (RETURN, f"{NAMES[-1]} is started again", victim.start),
        ]
        shown = 0
        self._screen.say(table.header())
        while (line := json.loads(clients.read_line(SILENCE))) is not None:
            request = Request(*line)
            while due and due[0][0] <= request.ended:
                _, what, happen = due.pop(0)
                happen()
                table.happened(request.ended, what)
            # They tell of each request when it ends, so a second is over when
            # they tell of one in the next.
            for number in range(shown, int(request.ended)):
                self._screen.say(table.row(number))
                shown = number + 1
            table.add(request)
        for number in range(shown, len(table)):
            self._screen.say(table.row(number))

    def show_around(self) -> None:
        """Say how to look at what runs."""
        host = self._lab.hosts[NAMES[0]]
        inside = " ".join(host.command([]))
        self._screen.say(
            "\nIt keeps running; Ctrl-C ends it. In another shell, try:\n\n"
            f"    {inside} .venv/bin/cocaine-tool cluster --host {host.address}\n"
            f"    {inside} .venv/bin/cocaine-tool info --host {host.address}\n",
            indent=0,
        )
