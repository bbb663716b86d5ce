# -*- test-case-name: cocained.test.live.test_reference_storage -*-
"""
Storage, probe by probe (reference-behaviour.md §4).
"""

from __future__ import annotations

from typing_extensions import override

from cocained.test.live.support import LiveCase, differs, live_suite


class StorageTests(LiveCase):
    """The storage service over a ``files`` storage."""

    @override
    def prepare(self) -> None:
        """Store what several probes read."""
        self.node.write("ns1", "k2", b"v")
        self.node.write("ns1", "tagged", b"v", "t1")

    def test_s1_missing(self) -> None:
        """A missing key is [12, 2] with the place in its text."""
        store = self.node.directory / "store"
        self.play(
            "storage",
            f"""
            > [1, 0, ["ns1", "missing"]]
            < [1, 1, [[12, 2], "{store}/ns1/missing: No such file or directory"]]
            """,
        )

    def test_s2_round_trip(self) -> None:
        """What is written can be read, found and removed."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns2", "k1", "hello", ["t1", "t2"]]]
            < [1, 0, []]
            > [2, 0, ["ns2", "k1"]]
            < [2, 0, ["hello"]]
            > [3, 3, ["ns2", ["t1"]]]
            < [3, 0, [["k1"]]]
            > [4, 3, ["ns2", ["t2", "t1"]]]
            < [4, 0, [["k1"]]]
            > [5, 2, ["ns2", "k1"]]
            < [5, 0, []]
            > [6, 0, ["ns2", "k1"]]
            < [6, 1, [[12, 2], ~"/ns2/k1: No such file or directory"]]
            > [7, 3, ["ns2", ["t1"]]]
            < [7, 0, [[]]]
            """,
        )

    def test_s3_no_tags(self) -> None:
        """S3, S4: tags are optional; to find by none, or in nothing, gives none."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns3", "k2", "v"]]
            < [1, 0, []]
            > [2, 0, ["ns3", "k2"]]
            < [2, 0, ["v"]]
            > [3, 1, ["ns3", "k3", "v", []]]
            < [3, 0, []]
            > [4, 3, ["ns3", []]]
            < [4, 0, [[]]]
            > [5, 3, ["ns3", ["zz"]]]
            < [5, 0, [[]]]
            > [6, 3, ["nons", ["zz"]]]
            < [6, 0, [[]]]
            """,
        )

    def test_s5_tags_add_up(self) -> None:
        """Writing with other tags keeps the old ones."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns5", "k4", "a", ["ta"]]]
            < [1, 0, []]
            > [2, 1, ["ns5", "k4", "b", ["tb"]]]
            < [2, 0, []]
            > [3, 3, ["ns5", ["ta"]]]
            < [3, 0, [["k4"]]]
            > [4, 3, ["ns5", ["tb"]]]
            < [4, 0, [["k4"]]]
            > [5, 0, ["ns5", "k4"]]
            < [5, 0, ["b"]]
            """,
        )

    def test_layout(self) -> None:
        """Values are files, tags directories of links, as the original has them."""
        store = self.node.directory / "store" / "ns1"
        link = store / "t1" / "tagged"
        self.assertEqual((store / "tagged").read_bytes(), b"v")
        self.assertTrue(link.is_symlink())
        self.assertEqual(link.resolve(), (store / "tagged").resolve())
        self.play(
            "storage",
            """
            > [1, 2, ["ns1", "tagged"]]
            < [1, 0, []]
            """,
        )
        self.assertTrue(link.is_symlink())
        self.play("storage", '> [1, 3, ["ns1", ["t1"]]]\n< [1, 0, [[]]]')
        self.assertFalse(link.is_symlink())

    def test_found_in_order(self) -> None:
        """What has all of the tags is found, sorted by key."""
        self.play(
            "storage",
            """
            > [1, 1, ["nsf", "b", "v", ["x", "y"]]]
            > [2, 1, ["nsf", "c", "v", ["x"]]]
            > [3, 1, ["nsf", "B", "v", ["y", "x"]]]
            > [4, 1, ["nsf", "a", "v", ["x", "y"]]]
            > [5, 3, ["nsf", ["x", "y"]]]
            < [1, 0, []]
            < [2, 0, []]
            < [3, 0, []]
            < [4, 0, []]
            < [5, 0, [["B", "a", "b"]]]
            """,
        )

    def test_s6_remove_missing(self) -> None:
        """To remove what is not there succeeds."""
        self.play(
            "storage",
            """
            > [1, 2, ["ns1", "missing"]]
            < [1, 0, []]
            > [2, 2, ["nons", "missing"]]
            < [2, 0, []]
            """,
        )

    @differs("S7-S10")
    def test_s7_arguments(self) -> None:
        """Arguments that do not fit are refused on their channel."""
        self.play(
            "storage",
            """
            > [1, 0, ["ns1"]]
            < [1, 1, [[7, 2], ~"got 1 element(s)"]]
            > [2, 0, ["ns1", 5]]
            < [2, 1, [[7, 2], "expected a string, got an integer"]]
            > [3, 1, ["ns1", "k", 5, []]]
            < [3, 1, [[7, 2], "expected a string, got an integer"]]
            > [4, 1, ["ns1", "k", "v", "t"]]
            < [4, 1, [[7, 2], "expected a list, got a string"]]
            > [5, 0, ["ns1", "k2"]]
            < [5, 0, ["v"]]
            """,
        )

    @differs("S11, S12")
    def test_s11_directories(self) -> None:
        """A directory for a key is [12, 21], with the place in its text."""
        self.play(
            "storage",
            """
            > [1, 0, ["ns1", "t1"]]
            < [1, 1, [[12, 21], ~"/ns1/t1: Is a directory"]]
            > [2, 0, ["ns1", ""]]
            < [2, 1, [[12, 21], ~"Is a directory"]]
            > [3, 0, ["", "ns1"]]
            < [3, 1, [[12, 21], ~"Is a directory"]]
            > [4, 1, ["ns1", "", "v", []]]
            < [4, 1, [[12, 13], ~"/ns1: Permission denied"]]
            """,
        )

    @differs("S13")
    def test_s13_traversal(self) -> None:
        """Names do not lead out of their collection."""
        self.play(
            "storage",
            """
            > [1, 0, ["nsq", "../ns1/k2"]]
            < [1, 1, [[12, 13], ~"'..' is not allowed"]]
            > [2, 0, ["ns1", "../ns1/k2"]]
            < [2, 1, [[12, 13], ~"'..' is not allowed"]]
            > [3, 0, ["ns1", "a/b/c"]]
            < [3, 1, [[12, 2], ~"/ns1/a/b/c: No such file or directory"]]
            > [4, 0, ["ns1", "/etc/hostname"]]
            < [4, 1, [[12, 2], ~"/ns1/etc/hostname: No such file or directory"]]
            """,
        )

    def test_s14_slashes(self) -> None:
        """A key makes no directories, a collection does."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns1", "a/b", "v", []]]
            < [1, 1, [[12, 13], ~"/ns1/a/b: Permission denied"]]
            > [2, 1, ["ns14/sub", "k", "v", []]]
            < [2, 0, []]
            > [3, 0, ["ns14/sub", "k"]]
            < [3, 0, ["v"]]
            """,
        )

    def test_s15_values(self) -> None:
        """S15-S17: any bytes are a value, none at all too, in any spelling."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns1", "bin", h"0001020304050607", []]]
            < [1, 0, []]
            > [2, 0, ["ns1", "bin"]]
            < [2, 0, [h"0001020304050607"]]
            > [3, 1, ["ns1", "e", "", []]]
            < [3, 0, []]
            > [4, 0, ["ns1", "e"]]
            < [4, 0, [""]]
            > raw 93050194a36e7331a3626231c40361626390
            < [5, 0, []]
            > [6, 0, ["ns1", "bb1"]]
            < [6, 0, ["abc"]]
            """,
        )

    @differs("S18, S19")
    def test_s18_tag_is_a_key(self) -> None:
        """A tag that is a key is [12, 20], and nothing is left behind."""
        self.play(
            "storage",
            """
            > [1, 1, ["ns18", "k5", "v", ["d", "d"]]]
            < [1, 0, []]
            > [2, 3, ["ns18", ["d", "d"]]]
            < [2, 0, [["k5"]]]
            > [3, 1, ["ns18", "k6", "v", ["k6"]]]
            < [3, 1, [[12, 20], ~"/ns18/k6: Not a directory"]]
            > [4, 0, ["ns18", "k6"]]
            < [4, 1, [[12, 2], *]]
            > [5, 1, ["ns18", "k7", "v", ["k5"]]]
            < [5, 1, [[12, 20], ~"/ns18/k5: Not a directory"]]
            > [6, 0, ["ns18", "k7"]]
            < [6, 1, [[12, 2], *]]
            > [7, 1, ["ns18/k5", "k", "v", []]]
            < [7, 1, [[12, 20], ~"/ns18/k5: Not a directory"]]
            """,
        )

    def test_s21_order(self) -> None:
        """Operations of one packet take effect and are answered in order."""
        client = self.play(
            "storage",
            """
            > [1, 1, ["ns1", "pp", "first", []]]
            > [2, 0, ["ns1", "pp"]]
            > [3, 2, ["ns1", "pp"]]
            > [4, 0, ["ns1", "pp"]]
            < [1, 0, []]
            < [2, 0, ["first"]]
            < [3, 0, []]
            < [4, 1, [[12, 2], *]]
            """,
        )
        self.assertEqual(client.rest(0.05), [])

    @differs("S22")
    def test_s22_unknown_method(self) -> None:
        """A method that is not there is refused on its channel."""
        self.play(
            "storage",
            """
            > [1, 4, []]
            < [1, 1, [[7, 5], "there is no method 4"]]
            > [2, 0, ["ns1", "k2"]]
            < [2, 0, ["v"]]
            """,
        )

    @differs("S23")
    def test_s23_twice(self) -> None:
        """A second message on a channel is dropped and does not cost the answer."""
        self.play(
            "storage",
            """
            > [1, 0, ["ns1", "k2"]]
            > [1, 0, ["ns1", "k2"]]
            < [1, 0, ["v"]]
            < (no answer)
            """,
        )

    def test_s24_authorization(self) -> None:
        """An authorization that nobody asked for does no harm."""
        self.play(
            "storage",
            """
            > [1, 0, ["ns1", "k2"], [[false, "authorization", "Token abc"]]]
            < [1, 0, ["v"]]
            """,
        )

    def test_s25_megabytes(self) -> None:
        """A value of 3 MiB travels in one frame each way."""
        value = b"v" * (3 << 20)
        self.node.write("ns1", "large", value)
        with self.node.client("storage") as storage:
            self.assertEqual(storage.call(0, "ns1", "large"), [value])

    @differs("S26")
    def test_s26_long_key(self) -> None:
        """A key that no file system can hold is an error, and the node lives on."""
        key = "k" * 300
        self.play(
            "storage",
            f"""
            > [1, 1, ["ns1", "{key}", "v", []]]
            < [1, 1, [[12, 36], ~"File name too long"]]
            > [2, 0, ["ns1", "k2"]]
            < [2, 0, ["v"]]
            """,
        )


test_suite = live_suite(__name__)
