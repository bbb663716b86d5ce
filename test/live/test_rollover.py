# -*- test-case-name: cocained.test.live.test_rollover -*-
"""
New versions of an app come into service by themselves, on every node that runs
it (rows 134, 187), and no request fails for it.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from typing_extensions import override

from cocained.errors import RemoteError
from cocained.test.live.faults import PATIENCE
from cocained.test.live.ledger import Ending, Ledger
from cocained.test.live.load import Load
from cocained.test.live.support import (
    WORKERS,
    Client,
    LiveCase,
    LiveNode,
    live_suite,
    pack,
    program,
    wait_for,
)

#: Seconds from one look at the storage to the next: the least that is allowed.
LOOK = 1

#: Seconds that anything here may take on a busy machine: two looks and a start
#: take three.
SOON = 30.0

#: Seconds between two questions for the edition.
EVERY = 0.02


class EditionCase(LiveCase):
    """
    A node with the first edition of the app ``rolling``
    (``workers/edition.py``).
    """

    WORKERS = 3

    @override
    def prepare(self) -> None:
        """Upload the app and start it, with some workers."""
        self.put(1)
        self.node.profile(
            "default",
            pool_limit=self.WORKERS,
            concurrency=8,
            queue_limit=1000,
            heartbeat_timeout=20,
            terminate_timeout=1,
            auto_update=LOOK,
        )

    def put(self, edition: int, **changes: str) -> None:
        """Upload an edition; *changes* are to its environment."""
        files = {
            "worker": program("edition.py"),
            "speech.py": (WORKERS / "speech.py").read_bytes(),
            "edition.txt": str(edition).encode(),
        }
        environment = {"EDITION": str(edition), **changes}
        self.node.upload("rolling", files, {"environment": environment})

    def start_app(self) -> Client:
        """Start it; workers are kept until the connection is closed."""
        self.node.start_app("rolling", "default")
        control = self.connect("rolling")
        control.send(1, 2, [])
        control.send(1, 0, [self.WORKERS])
        wait_for("its workers", lambda: self.active() == self.WORKERS, SOON)
        return control

    def active(self) -> int:
        """Count the workers that take events."""
        workers = self.node.info("rolling")[b"pool"][b"slaves"].values()
        return sum(worker[b"state"] == b"active" for worker in workers)

    def edition(self, node: LiveNode | None = None) -> tuple[int, int]:
        """Ask which one answers; what its manifest and its code say."""
        with (node or self.node).client("rolling") as client:
            manifest, code = client.stream("edition", b"?")[0].split()
        return int(manifest), int(code)

    def serves(self, edition: int, node: LiveNode | None = None) -> bool:
        """Say whether that one answers; a node without the app has none."""
        try:
            return self.edition(node) == (edition, edition)
        except RemoteError:
            return False

    def update(self) -> dict[bytes, Any]:
        """What the node says of the last update."""
        told: dict[bytes, Any] = self.node.info("rolling", 0).get(b"update", {})
        return told

    def versions(self) -> int:
        """Count the versions of the code that are on the node's disk."""
        return len(list((self.node.directory / "spool" / "rolling").iterdir()))


class LoadTests(EditionCase):
    """Under load."""

    @override
    def prepare(self) -> None:
        super().prepare()
        self.start_app()
        self.ledger = Ledger()
        self.load = Load(self.node.resolve("rolling"), self.ledger)
        self.addCleanup(self.load.close)
        self.seen: list[tuple[int, int]] = []
        self.asker = self.connect("rolling")
        self._due = 0.0

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Ask without a break, and note who answers, until something is so."""

        def tick() -> bool:
            if time.monotonic() >= self._due:
                manifest, code = self.asker.stream("edition", b"?")[0].split()
                self.seen.append((int(manifest), int(code)))
                self._due = time.monotonic() + EVERY
                return not is_done()
            return True

        until = time.monotonic() + SOON
        self.load.run(SOON, tick)
        self.assertLess(time.monotonic(), until, "it did not come in time")

    def assert_kept(self) -> None:
        """Every request got its answer, and the right one."""
        self.load.finish(PATIENCE)
        print("\n" + self.ledger.table(self.id()))
        self.assertEqual(self.ledger.problems(), [])
        self.assertGreater(self.ledger.count(Ending.REPLY), 100)
        self.assertEqual(self.ledger.share, 1.0)

    def test_new_version(self) -> None:
        """
        No request fails, none is answered by the old version after the new one
        has answered, and none by a mixture (row 187).
        """
        self.run_until(lambda: len(self.seen) >= 10)
        self.put(2)
        self.run_until(lambda: self.seen[-20:] == [(2, 2)] * 20)
        self.put(3)
        self.run_until(lambda: self.seen[-20:] == [(3, 3)] * 20)

        self.assert_kept()
        self.assertEqual(
            [edition for edition, _ in groupby(self.seen)], [(1, 1), (2, 2), (3, 3)]
        )
        self.assertEqual(self.update()[b"state"], b"done")
        wait_for("the old workers have gone", self.is_alone, SOON)
        wait_for("so has their code", lambda: self.versions() == 1, SOON)
        self.assertEqual(self.active(), self.WORKERS)

    def is_alone(self) -> bool:
        """Whether there are the workers of one release only."""
        return len(self.node.children()) == self.WORKERS

    def test_broken_version(self) -> None:
        """
        A version that does not start leaves the one before as it was; the next one
        that does takes over.
        """
        self.run_until(lambda: len(self.seen) >= 10)
        self.put(2, DELAY="never")
        self.run_until(lambda: self.update().get(b"state") == b"failed")
        self.assertIn(b"before its handshake", self.update()[b"cause"])
        told = self.update()
        looks = len(self.seen)
        self.run_until(lambda: len(self.seen) >= looks + 3 * LOOK / EVERY)

        self.assertEqual(set(self.seen), {(1, 1)})
        self.assertEqual(self.update(), told)
        wait_for("nothing is left of it", self.is_alone, SOON)
        self.assertEqual(self.versions(), 1)
        log = b"\n".join(
            line for lines in self.node.crashlogs("rolling") for line in lines
        )
        self.assertIn(b"ValueError", log)

        self.put(3)
        self.run_until(lambda: self.seen[-1] == (3, 3))
        self.assert_kept()
        self.assertEqual(
            [edition for edition, _ in groupby(self.seen)], [(1, 1), (3, 3)]
        )


class KillTests(EditionCase):
    """``kill -9`` of the node in the middle of it."""

    def test_killed(self) -> None:
        """No worker outlives it, and the next node has the new version alone."""
        self.start_app()
        self.put(2, DELAY="2")
        wait_for(
            "it warms up", lambda: self.update().get(b"state") == b"warming up", SOON
        )
        self.assertEqual(self.edition(), (1, 1))
        assert self.node.process is not None
        self.node.process.kill()
        self.node.process.wait()
        wait_for("the workers have ended", lambda: not self.node.children(), SOON)

        self.node.start()
        self.node.start_app("rolling", "default")

        self.assertEqual(self.edition(), (2, 2))
        wait_for("old code is gone", lambda: self.versions() == 1, SOON)

    def test_stopped(self) -> None:
        """SIGTERM in the middle of it ends both releases."""
        self.start_app()
        self.put(2, DELAY="20")
        wait_for(
            "it warms up", lambda: self.update().get(b"state") == b"warming up", SOON
        )
        self.assertEqual(len(self.node.children()), 2 * self.WORKERS)

        self.node.stop()

        self.assertEqual(self.node.children(), [])
        self.node.start()


class SharedStorageCase(EditionCase):
    """Two nodes with one storage and one runlist."""

    @override
    def setUp(self) -> None:
        self.changes = {
            "services": {
                "node": {"args": {"runlist": "all", "runlist-refresh": LOOK}},
            },
            "storages": {"core": self.core()},
        }
        super().setUp()

    def core(self) -> Mapping[str, Any]:
        """Give the changes to the storage that make it one for both."""
        raise NotImplementedError

    def assert_same_everywhere(self) -> None:
        """
        Insist that an app that is created by way of one node is hosted, updated and
        ended by both, without anybody asking them to.
        """
        nodes = [self.node, self.start_node(self.changes)]
        self.node.write("runlists", "all", pack({"rolling": "default"}), "runlist")
        for node in nodes:
            wait_for("it is hosted", lambda node=node: self.serves(1, node), SOON)

        self.put(2)
        for node in nodes:
            wait_for("it is updated", lambda node=node: self.serves(2, node), SOON)
        labels = {node.info("rolling", 0)[b"version"] for node in nodes}
        self.assertEqual(len(labels), 1)

        self.node.write("runlists", "all", pack({}), "runlist")
        for node in nodes:
            wait_for("it is gone", lambda node=node: not self.lists(node), SOON)
            wait_for("so are its workers", lambda node=node: not node.children(), SOON)

    def lists(self, node: LiveNode) -> list[bytes]:
        """Which apps a node has."""
        with node.client("node") as client:
            names: list[bytes] = client.call(2)[0]
        return names


class TwoNodesTests(SharedStorageCase):
    """Two nodes that share the files of one directory."""

    @override
    def core(self) -> Mapping[str, Any]:
        directory = tempfile.mkdtemp(prefix="cn")
        self.addCleanup(shutil.rmtree, directory)
        return {"args": {"path": directory}}

    def test_everywhere(self) -> None:
        """Both do the same, and nobody asks them to (rows 134, 187)."""
        self.assert_same_everywhere()


test_suite = live_suite(__name__)
