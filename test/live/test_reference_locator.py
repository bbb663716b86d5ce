# -*- test-case-name: cocained.test.live.test_reference_locator -*-
"""
The locator, probe by probe (reference-behaviour.md §3 and §3.2).
"""

from __future__ import annotations

from cocained.test.live.support import LiveCase, differs, live_suite

UNKNOWN = '[[10, 1], "service is not available"]'


class ResolveTests(LiveCase):
    """Names and graphs."""

    @differs("L1-L3")
    def test_l1_storage(self) -> None:
        """Resolve gives the address, the version and the graph of a service."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["storage"]]
            < [1, 0, [[["127.0.0.1", {self.node.ports["storage"]}]], 1, {{0: ["read", {{}}, PRIM], 1: ["write", {{}}, PRIM], 2: ["remove", {{}}, PRIM], 3: ["find", {{}}, PRIM]}}]]
            """,  # noqa: E501
        )

    @differs("L1-L3")
    def test_l2_locator(self) -> None:
        """The locator resolves itself, with streams and transitions in its graph."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["locator"]]
            < [1, 0, [[["127.0.0.1", {self.node.ports["locator"]}]], 3, {{0: ["resolve", {{}}, PRIM], 1: ["connect", {{}}, STREAM], 2: ["refresh", {{}}, PRIM], 3: ["cluster", {{}}, PRIM], 4: ["publish", {{0: ["discard", {{}}]}}, PRIM], 5: ["routing", {{0: ["discard", {{}}]}}, STREAM], 6: ["uuid", {{}}, PRIM]}}]]
            """,  # noqa: E501
        )

    @differs("L1-L3")
    def test_l3_logging(self) -> None:
        """The logging service's emit has no upstream at all."""
        self.play(
            "locator",
            """
            > [1, 0, ["logging"]]
            < [1, 0, [*, 2, {0: ["emit", {}, {}], 1: ["verbosity", {}, PRIM], 2: ["set_verbosity", {}, PRIM]}]]
            """,  # noqa: E501
        )

    @differs("L1-L3")
    def test_n0_node(self) -> None:
        """The node service's methods have the original's numbers."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["node"]]
            < [1, 0, [[["127.0.0.1", {self.node.ports["node"]}]], 1, {{0: ["start_app", {{}}, PRIM], 1: ["pause_app", {{}}, PRIM], 2: ["list", {{}}, PRIM], 3: ["info", {{}}, PRIM], 4: ["control", STREAM, PRIM], 5: ["enqueue", STREAM, STREAM]}}]]
            """,  # noqa: E501
        )

    def test_l4_unknown(self) -> None:
        """A name that nobody offers is [10, 1]."""
        self.play("locator", f'> [1, 0, ["nope"]]\n< [1, 1, {UNKNOWN}]')

    def test_l5_seed(self) -> None:
        """A seed may come along."""
        self.play(
            "locator",
            '> [1, 0, ["storage", "seed"]]\n< [1, 0, [*, 1, *]]',
        )

    @differs("L5b")
    def test_l5b_nil_seed(self) -> None:
        """A nil seed is refused on its channel, and the connection lives on."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope", nil]]
            < [1, 1, [[7, 2], ~"nil"]]
            > [2, 0, ["nope"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    @differs("L6")
    def test_l6_no_arguments(self) -> None:
        """Too few arguments are refused on their channel."""
        self.play(
            "locator",
            f"""
            > [1, 0, []]
            < [1, 1, [[7, 2], ~"got 0 element(s)"]]
            > [2, 0, ["nope"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    @differs("L7")
    def test_l7_wrong_type(self) -> None:
        """A name of the wrong type is refused on its channel."""
        self.play(
            "locator",
            """
            > [1, 0, [5]]
            < [1, 1, [[7, 2], "expected a string, got an integer"]]
            """,
        )

    def test_l8_too_many(self) -> None:
        """Arguments too many are ignored, and an empty name is just unknown."""
        self.play(
            "locator",
            f"""
            > [1, 0, ["nope", "seed", "x"]]
            < [1, 1, {UNKNOWN}]
            > [2, 0, [""]]
            < [2, 1, {UNKNOWN}]
            """,
        )


class MethodTests(LiveCase):
    """The other methods."""

    @differs("L9")
    def test_l9_connect(self) -> None:
        """Without a cluster connect closes its stream; what follows is dropped."""
        self.play(
            "locator",
            f"""
            > [1, 1, ["some-uuid"]]
            < [1, 2, []]
            > [1, 0, ["x"]]
            < (no answer)
            > [2, 0, ["nope"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    @differs("L10b")
    def test_l10_refresh(self) -> None:
        """Refresh of an unknown group succeeds; its argument must be a list."""
        self.play(
            "locator",
            """
            > [1, 2, [["nogroup"]]]
            < [1, 0, []]
            > [2, 2, ["nogroup"]]
            < [2, 1, [[7, 2], "expected a list, got a string"]]
            """,
        )

    def test_l11_cluster(self) -> None:
        """A node on its own has an empty cluster; arguments are ignored."""
        self.play(
            "locator",
            "> [1, 3, []]\n< [1, 0, [{}]]\n> [2, 3, [1, 2]]\n< [2, 0, [{}]]",
        )

    @differs("L12")
    def test_l12_publish(self) -> None:
        """Without a gateway a published service is accepted and not resolved."""
        self.play(
            "locator",
            f"""
            > [1, 4, ["ext", [["127.0.0.1", 9999]]]]
            < [1, 0, []]
            > [2, 0, ["ext"]]
            < [2, 1, {UNKNOWN}]
            > [1, 0, []]
            < (no answer)
            > [3, 0, ["ext"]]
            < [3, 1, {UNKNOWN}]
            > [1, 0, []]
            < (no answer)
            > [4, 0, ["ext"]]
            < [4, 1, {UNKNOWN}]
            """,
        )

    def test_l12b_native(self) -> None:
        """A graph may be published, too."""
        self.play(
            "locator",
            """
            > [1, 4, ["ext2", [["127.0.0.1", 9999]], [1, {0: ["m", {}, PRIM]}]]]
            < [1, 0, []]
            > [2, 0, ["ext2"]]
            < [2, 1, [[10, 1], "service is not available"]]
            """,
        )

    @differs("L12c", "L12d")
    def test_l12c_refused(self) -> None:
        """A graph without a version and a name for an address are refused."""
        self.play(
            "locator",
            """
            > [1, 4, ["ext3", [["127.0.0.1", 9999]], [0, {0: ["m", {}, {}]}]]]
            < [1, 1, [[10, 3], "missing protocol version"]]
            > [2, 4, ["ext3", [["not-an-ip", 9999]]]]
            < [2, 1, [[7, 2], ~"not-an-ip"]]
            """,
        )

    @differs("L13")
    def test_l13_routing(self) -> None:
        """Routing sends the ring, and ends with discard."""
        self.play(
            "locator",
            """
            > [1, 5, ["router1"]]
            < [1, 0, [{}]]
            > [1, 0, []]
            < (no answer)
            > [1, 0, []]
            < (no answer)
            > [2, 3, []]
            < [2, 0, [{}]]
            """,
        )

    def test_l14_uuid(self) -> None:
        """Uuid gives the same identity each time."""
        client = self.play("locator", "> [1, 6, []]\n< [1, 0, [<uuid>]]")
        client.channel = 1
        first, second = client.call(6), client.call(6)
        self.assertEqual(first, second)

    @differs("L15")
    def test_l15_unknown_method(self) -> None:
        """A method that is not there is refused on its channel."""
        self.play(
            "locator",
            """
            > [1, 7, []]
            < [1, 1, [[7, 5], ~"7"]]
            > [2, 100, []]
            < [2, 1, [[7, 5], ~"100"]]
            > [3, 3, []]
            < [3, 0, [{}]]
            """,
        )

    def test_l16_ping(self) -> None:
        """A control ping is answered on a channel of its own."""
        self.play(
            "locator",
            f"""
            > [1, 65533, []]
            < [1, 0, []]
            > [2, 0, ["nope"]]
            < [2, 1, {UNKNOWN}]
            """,
        )

    @differs("L17b")
    def test_l17_revoke(self) -> None:
        """A channel can be revoked, also one that is not open."""
        self.play(
            "locator",
            """
            > [1, 65535, [7, [1, 2]]]
            < [1, 0, []]
            > [8, 5, ["router2"]]
            < [8, 0, [{}]]
            > [9, 65535, [8, [1, 2]]]
            < [9, 0, []]
            > [8, 0, []]
            < (no answer)
            > [10, 3, []]
            < [10, 0, [{}]]
            """,
        )

    @differs("L18")
    def test_l18_other_controls(self) -> None:
        """Settings and goaway are not bound, and only their channel hears it."""
        self.play(
            "locator",
            """
            > [1, 65534, []]
            < [1, 1, [[7, 5], ~"65534"]]
            > [2, 65532, [[1, 2]]]
            < [2, 1, [[7, 5], ~"65532"]]
            > [3, 3, []]
            < [3, 0, [{}]]
            """,
        )


test_suite = live_suite(__name__)
