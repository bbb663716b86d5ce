# -*- test-case-name: cocained.test.live.test_cluster_weights -*-
"""
Routing groups of a cluster: shares, and sessions that stay where they are.

A session is a seed: the locator leads it to one member of the group, the same on
all nodes, as long as the weights are the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from cocained.test.live.cluster_case import REFRESH, RESOLVE, ClusterCase, HostNode
from cocained.test.live.support import live_suite, pack, program, wait_for

#: The two releases of an app, and the group that they share.
OLD, NEW, GROUP = "old", "new", "shop"

#: Sessions that are looked at.
SESSIONS = 20_000

#: Requests on their way at a time: far fewer than a connection may have.
BATCH = 500

#: Points of a hundred by which a share may differ from its weight: the ring is
#: the original's, which throws its points as they fall.
TOLERANCE = 2.0


def members(node: HostNode, seeds: Sequence[str]) -> list[int]:
    """
    Ask a locator where each session belongs.

    :returns: ports, which tell the members apart.
    """
    found = []
    with node.client("locator") as locator:
        for begin in range(0, len(seeds), BATCH):
            batch = seeds[begin : begin + BATCH]
            first = locator.channel + 1
            locator.send_bytes(
                b"".join(
                    pack([first + offset, RESOLVE, [GROUP, seed]])
                    for offset, seed in enumerate(batch)
                )
            )
            locator.channel += len(batch)
            answers = {frame[0]: frame for frame in locator.take(len(batch))}
            for offset in range(len(batch)):
                _, kind, values = answers[first + offset][:3]
                assert kind == 0, values
                found.append(int(values[0][0][1]))
    return found


class WeightTests(ClusterCase):
    """Both releases run on ``a``; ``b`` resolves."""

    names = ("a", "b")
    apps = ()

    @override
    def setUp(self) -> None:
        super().setUp()
        node = self.nodes["a"]
        files = {"worker": program("faulty.py"), "speech.py": program("speech.py")}
        for name in (OLD, NEW):
            node.upload(name, files)
            node.start_app(name, "default")
            self.wait_found("b", name, {"a"})
        self.ports = {node.resolve(name): name for name in (OLD, NEW)}
        self.seeds = [f"session-{number}" for number in range(SESSIONS)]

    def weigh(self, old: int, new: int) -> None:
        """Change the weights by way of ``a``, and wait until ``b`` has them."""
        node = self.nodes["a"]
        before = self.ring("b")
        weights = {OLD: old, NEW: new}
        node.write("groups", GROUP, pack(weights), "group", "active")
        node.ask(REFRESH, [GROUP])
        wait_for("b has the weights", lambda: self.ring("b") != before, 20)
        self.assertEqual(self.ring("a"), self.ring("b"))

    def ring(self, name: str) -> object:
        """Give the ring of a node, as proxies get it."""
        with self.nodes[name].client("locator") as locator:
            locator.send(1, 5, [f"test-{name}"])
            frame = locator.receive()
            return frame[2][0].get(GROUP.encode())

    def look(self) -> list[str]:
        """Say of each session which release it has, as both nodes see it."""
        found = [
            [self.ports[port] for port in members(self.nodes[name], self.seeds)]
            for name in ("a", "b")
        ]
        self.assertEqual(found[0], found[1])
        return found[0]

    def assert_share(self, sessions: Sequence[str], percent: float) -> None:
        """State that about so many sessions have the new release."""
        share = 100 * sessions.count(NEW) / len(sessions)
        self.assertLessEqual(abs(share - percent), TOLERANCE, share)

    def test_shift(self) -> None:
        """
        From 5 to 50 percent: shares are what was asked for, and only those
        sessions move that must, all of them to the new release.
        """
        self.weigh(95, 5)
        before = self.look()
        self.assert_share(before, 5)

        self.weigh(50, 50)
        after = self.look()
        self.assert_share(after, 50)

        moved = [pair for pair in zip(before, after, strict=True) if len({*pair}) == 2]
        self.assertEqual({*moved}, {(OLD, NEW)})
        # So many had to: the difference of the shares.
        self.assertEqual(len(moved), after.count(NEW) - before.count(NEW))

        self.weigh(95, 5)
        self.assertEqual(self.look(), before)


test_suite = live_suite(__name__)
