# -*- test-case-name: cocained.test.live.test_reference_control -*-
"""
How many workers an app has, by order (reference-behaviour.md §6, N16 and C1).
"""

from __future__ import annotations

from typing import Any

from cocained.errors import RemoteError
from cocained.test.live.support import AppCase, differs, live_suite, wait_for
from cocained.test.live.transcript import play


class ControlTests(AppCase):
    """Numbers of workers, for the node and for the app itself."""

    limits = {"pool-limit": 10}

    def slaves(self) -> dict[bytes, Any]:
        """Give the workers that the report names."""
        slaves: dict[bytes, Any] = self.node.info("probe")[b"pool"][b"slaves"]
        return slaves

    def test_n16_control(self) -> None:
        """The number on a control channel is the number of workers."""
        node = self.connect("node")
        play(node, '> [1, 4, ["probe"]]\n> [1, 0, [3]]\n< (no answer)')
        self.until_workers(3)
        node.send(1, 0, [1])
        self.until_workers(1)
        node.send(1, 0, [50])
        self.until_workers(10)
        play(node, '> [1, 2, []]\n< (no answer)\n> [2, 2, []]\n< [2, 0, [["probe"]]]')

    def test_n16_automatic(self) -> None:
        """Zero, a close, an error or the end of the connection keep what there is."""
        for end in ("[1, 0, [0]]", "[1, 2, []]", '[1, 1, [[1, 2], "x"]]', None):
            node = self.connect("node")
            play(node, '> [1, 4, ["probe"]]\n> [1, 0, [2]]\n< (no answer)')
            self.until_workers(2)
            if end is None:
                node.close()
            else:
                play(node, f"> {end}\n< (no answer)")
            self.until_workers(2)
        # Automatic again: one that is lost is not made good beyond the one needed.
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:spawned"], 2)

    def test_control_disconnected(self) -> None:
        """The app's own control is the same, and is over with its connection."""
        app = self.connect("probe")
        play(app, "> [1, 2, []]\n> [1, 0, [2]]\n< (no answer)")
        self.until_workers(2)
        app.close()
        again = self.connect("probe")
        play(again, "> [1, 2, []]\n> [1, 0, [1]]\n< (no answer)")
        self.until_workers(1)

    def until_workers(self, count: int) -> None:
        """Wait until so many workers are there, and no more."""
        wait_for(
            f"{count} workers",
            lambda: (
                [s[b"state"] for s in self.slaves().values()] == [b"active"] * count
            ),
            10,
        )

    def states(self) -> list[bytes]:
        """Give the states of the workers."""
        return [slave[b"state"] for slave in self.slaves().values()]

    @differs("C1", "C2")
    def test_c1_app_control(self) -> None:
        """The app's own control takes numbers, and a close."""
        app = self.play(
            "probe",
            """
            > [1, 2, []]
            > [1, 0, [1]]
            > [1, 0, [-5]]
            > [1, 2, []]
            < (no answer)
            > [2, 2, [7]]
            > [2, 0, ["x"]]
            < [2, 1, [[7, 2], "expected an integer, got a string"]]
            """,
        )
        app.channel = 2
        self.assertEqual(app.stream("ping"), [b"pong"])


class PublishTests(AppCase):
    """An app that is published when it has workers (protocol.md §9.2)."""

    limits = {"pool-limit": 3, "publish-on": 2, "unpublish-under": 2}

    def said(self) -> tuple[bool, bool]:
        """Give what the node says, and what its locator knows."""
        return bool(self.node.info("probe", 0)[b"publushed"]), self.is_found()

    def is_found(self) -> bool:
        """Ask the locator."""
        try:
            self.node.resolve("probe")
        except RemoteError:
            return False
        return True

    def test_publish_on(self) -> None:
        """It is found from so many workers on, and lost below so many."""
        self.assertEqual(self.said(), (False, False))
        node = self.connect("node")
        play(node, '> [1, 4, ["probe"]]\n> [1, 0, [1]]\n< (no answer)')
        # Events may come by way of the node meanwhile.
        with self.node.client("node") as client:
            client.send(1, 5, ["probe", "ping"])
            self.assertEqual(client.receive()[2], [b"pong"])
        self.assertEqual(self.said(), (False, False))
        node.send(1, 0, [2])
        wait_for("it is published", lambda: self.said() == (True, True), 8)
        with self.node.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])
        node.send(1, 0, [1])
        wait_for("it is taken back", lambda: self.said() == (False, False), 8)


test_suite = live_suite(__name__)
