# -*- test-case-name: cocained.test.live.test_reference_groups -*-
"""
Routing groups and gateways, probe by probe (reference-behaviour.md §3.2, §3.3).
"""

from __future__ import annotations

from typing_extensions import override

from cocained.test.live.support import LiveCase, differs, live_suite, pack
from cocained.test.live.transcript import play

UNKNOWN = '[[10, 1], "service is not available"]'


class RoutingGroupTests(LiveCase):
    """Groups and their ring."""

    #: From the capture: the first and the last points of the ring of g1.
    FIRST = [
        [797295, b"storage"],
        [7113102, b"logging"],
        [11788671, b"logging"],
        [17353581, b"logging"],
        [20759466, b"logging"],
        [33349278, b"logging"],
    ]
    LAST = [[4282194450, b"logging"], [4290863688, b"logging"]]

    @override
    def prepare(self) -> None:
        """Store the groups of the capture."""
        self.node.write(
            "groups", "g1", pack({"storage": 1, "logging": 2}), "group", "active"
        )
        self.node.write("groups", "ginactive", pack({"storage": 1}), "group")
        self.node.write("groups", "gzero", pack({"storage": 0}), "group", "active")
        self.node.write("groups", "gbad", b"\xc1", "group", "active")

    def resolve(self, name: str, *seed: str) -> int:
        """Say at which port the locator sends us to."""
        with self.node.client("locator") as locator:
            return int(locator.call(0, name, *seed)[0][0][1])

    def test_rg0_unknown(self) -> None:
        """A group is unknown before refresh."""
        self.play("locator", f'> [1, 0, ["g1"]]\n< [1, 1, {UNKNOWN}]')

    def test_rg1_ring(self) -> None:
        """Routers get the original's ring, point for point (row 125)."""
        router = self.play("locator", '> [1, 5, ["r"]]\n< [1, 0, [{}]]')
        self.play("locator", '> [1, 2, [["g1"]]]\n< [1, 0, []]')
        ring = router.receive()[2][0][b"g1"]
        self.assertEqual(ring[:6], self.FIRST)
        self.assertEqual(ring[-2:], self.LAST)
        names = [name for _, name in ring]
        self.assertEqual((names.count(b"logging"), names.count(b"storage")), (340, 172))

    def test_seeds(self) -> None:
        """A seed leads to the same member as in the original."""
        self.play("locator", '> [1, 2, [["g1"]]]\n< [1, 0, []]')
        storage = self.node.ports["storage"]
        chosen = {
            number
            for number in range(12)
            if self.resolve("g1", f"user{number}") == storage
        }
        self.assertEqual(chosen, {4, 9, 10})

    def test_without_seed(self) -> None:
        """Without a seed, or with an empty one, every member has its share."""
        self.play("locator", '> [1, 2, [["g1"]]]\n< [1, 0, []]')
        ports = [self.resolve("g1", *seed) for seed in [()] * 40 + [("",)] * 40]
        # A third each way is expected; none at all has a chance of 1e-14.
        self.assertEqual(
            set(ports), {self.node.ports["storage"], self.node.ports["logging"]}
        )

    def test_rg2_inactive(self) -> None:
        """A group without the tag ``active`` stays unknown."""
        self.play(
            "locator",
            f"""
            > [1, 2, [["ginactive"]]]
            < [1, 0, []]
            > [2, 0, ["ginactive"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    def test_rg3_zero_weight(self) -> None:
        """A group of no weight is [10, 2]."""
        self.play(
            "locator",
            f"""
            > [1, 2, [["gzero"]]]
            < [1, 1, [[10, 2], "routing storage is unavailable"]]
            > [2, 0, ["gzero"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    def test_rg4_garbage(self) -> None:
        """A group that cannot be decoded is a parse error."""
        self.play(
            "locator",
            f"""
            > [1, 2, [["gbad"]]]
            < [1, 1, [[7, 7], "parse error"]]
            > [2, 0, ["gbad"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    def test_failed_refresh(self) -> None:
        """A refresh that fails changes nothing, and routers hear nothing of it."""
        router = self.play("locator", '> [1, 5, ["r"]]\n< [1, 0, [{}]]')
        self.play(
            "locator",
            """
            > [1, 2, [["g1", "gzero"]]]
            < [1, 1, [[10, 2], *]]
            > [2, 2, [["g1", "gbad"]]]
            < [2, 1, [[7, 7], *]]
            > [3, 0, ["g1"]]
            < [3, 1, [[10, 1], *]]
            """,
        )
        play(router, "< (no answer)")

    def test_same_router(self) -> None:
        """A router that comes again takes over; its old stream is not closed."""
        old = self.play("locator", '> [1, 5, ["r"]]\n< [1, 0, [{}]]')
        new = self.play("locator", '> [1, 5, ["r"]]\n< [1, 0, [{}]]')
        self.play("locator", '> [1, 2, [["g1"]]]\n< [1, 0, []]')
        play(new, "< [1, 0, [*]]")
        play(old, "< (no answer)")

    def test_rg5_removed(self) -> None:
        """A group that has been removed is gone after refresh, and routers hear it."""
        self.play("locator", '> [1, 2, [["g1"]]]\n< [1, 0, []]')
        router = self.connect("locator")
        play(router, '> [1, 5, ["r5"]]\n< [1, 0, [*]]')
        self.play("storage", '> [1, 2, ["groups", "g1"]]\n< [1, 0, []]')
        self.play(
            "locator",
            f"""
            > [1, 2, [["g1"]]]
            < [1, 0, []]
            > [2, 0, ["g1"]]
            < [2, 1, {UNKNOWN}]
            """,
        )
        play(router, "< [1, 0, [{}]]")


class GatewayTests(LiveCase):
    """Published services, with a gateway (reference-behaviour.md §3.3)."""

    changes = {
        "services": {
            "locator": {"type": "locator", "args": {"gateway": {"type": "adhoc"}}}
        }
    }

    def test_b_publish(self) -> None:
        """A published service resolves until it is withdrawn."""
        self.play(
            "locator",
            f"""
            > [1, 4, ["ext", [["127.0.0.1", 9999]]]]
            < [1, 0, []]
            > [2, 0, ["ext"]]
            < [2, 0, [[["127.0.0.1", 9999]], 0, {{}}]]
            > [1, 0, []]
            < (no answer)
            > [3, 0, ["ext"]]
            < [3, 1, {UNKNOWN}]
            """,
        )

    def test_b_native(self) -> None:
        """Addresses, version and graph are given as they were published."""
        self.play(
            "locator",
            """
            > [1, 4, ["ext2", [["127.0.0.1", 9999], ["::1", 9998]], [2, {0: ["m", {}, PRIM]}]]]
            < [1, 0, []]
            > [2, 0, ["ext2"]]
            < [2, 0, [[["127.0.0.1", 9999], ["::1", 9998]], 2, {0: ["m", {}, PRIM]}]]
            """,  # noqa: E501
        )

    @differs("B duplicate publish")
    def test_b_duplicate(self) -> None:
        """A second service of the name is refused, and the first one stays."""
        self.play(
            "locator",
            """
            > [1, 4, ["ext", [["127.0.0.1", 9999]]]]
            < [1, 0, []]
            > [2, 4, ["ext", [["127.0.0.1", 9998]]]]
            < [2, 1, [[10, 4], *]]
            > [3, 0, ["ext"]]
            < [3, 0, [[["127.0.0.1", 9999]], 0, {}]]
            """,
        )

    def test_b_disconnected(self) -> None:
        """A publisher that disconnects takes its service along."""
        publisher = self.play(
            "locator", '> [1, 4, ["ext4", [["127.0.0.1", 9999]]]]\n< [1, 0, []]'
        )
        publisher.close()
        self.play("locator", f'> [1, 0, ["ext4"]]\n< [1, 1, {UNKNOWN}]')

    def test_b_restricted(self) -> None:
        """Locator and logging are the node's own; an unknown name stays unknown."""
        for name, version in (("locator", 3), ("logging", 2)):
            self.play(
                "locator",
                f"""
                > [1, 0, ["{name}"]]
                < [1, 0, [[["127.0.0.1", {self.node.ports[name]}]], {version}, *]]
                > [2, 0, ["nope"]]
                < [2, 1, {UNKNOWN}]
                """,
            )

    def test_b_local(self) -> None:
        """Local services are resolved beside the published ones."""
        self.play("locator", '> [1, 0, ["storage"]]\n< [1, 0, [*, 1, *]]')


test_suite = live_suite(__name__)
