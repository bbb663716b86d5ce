# -*- test-case-name: cocained.test.live.test_reference_logging -*-
"""
Logging, probe by probe (reference-behaviour.md §5).
"""

from __future__ import annotations

from cocained.test.live.support import LiveCase, differs, live_suite


class LoggingTests(LiveCase):
    """The logging service."""

    @differs("G2")
    def test_g1_emit(self) -> None:
        """G1-G4: emit has no answer, with or without attributes."""
        self.play(
            "logging",
            """
            > [1, 0, [2, "app/x", "first words", []]]
            < (no answer)
            > [2, 1, []]
            < [2, 0, [0]]
            > [1, 0, [2, "app/x", "again", []]]
            > [3, 0, [2, "app/x", "no attributes"]]
            > [4, 0, [3, "app/x", "many", [["k", "v"], ["n", 5], ["f", 1.5], ["b", true]]]]
            < (no answer)
            > [5, 1, []]
            < [5, 0, [0]]
            """,  # noqa: E501
        )
        self.node.wait_for_log("warning app/x: first words")
        self.node.wait_for_log("error app/x: many k=v n=5 f=1.5 b=true")
        self.assertNotIn("again", self.node.log.read_text())

    @differs("G5, G6, G10")
    def test_g5_wrong(self) -> None:
        """Words that cannot be logged are dropped; there is no way to answer."""
        self.play(
            "logging",
            """
            > [1, 0, [3, "app/x", "attributes are a map", {"k": "v"}]]
            > [2, 0, ["info", "app/x", "the level is a string", []]]
            > [3, 0, [3, "app/x", "nested", [["k", [1, 2]]]]]
            < (no answer)
            > [4, 0, [3, "app/x", "a pair of three", [["k", "v", 1]]]]
            > [5, 1, []]
            < [5, 0, [0]]
            """,
        )
        self.node.wait_for_log("app/x: a pair of three k=v")

    def test_g7_levels(self) -> None:
        """Levels out of range are taken for the nearest one."""
        self.play(
            "logging",
            """
            > [1, 0, [99, "app/x", "m99", []]]
            > [2, 0, [-1, "app/x", "m-1", []]]
            > [3, 1, []]
            < [3, 0, [0]]
            """,
        )
        self.node.wait_for_log("error app/x: m99")

    @differs("G8")
    def test_below_verbosity(self) -> None:
        """What is below the verbosity is dropped."""
        self.play(
            "logging",
            """
            > [1, 2, [2]]
            < [1, 0, []]
            > [2, 0, [1, "app/x", "too quiet", []]]
            > [3, 0, [2, "app/x", "loud enough", []]]
            > [4, 2, [0]]
            < [4, 0, []]
            """,
        )
        self.node.wait_for_log("app/x: loud enough")
        self.assertNotIn("too quiet", self.node.log.read_text())

    @differs("G8")
    def test_g8_set_verbosity(self) -> None:
        """The verbosity can be set, and is what is answered from then on."""
        self.play(
            "logging",
            """
            > [1, 2, [2]]
            < [1, 0, []]
            > [2, 1, [1, 2]]
            < [2, 0, [2]]
            > [3, 2, [0]]
            < [3, 0, []]
            > [4, 65533, []]
            < [4, 0, []]
            """,
        )


test_suite = live_suite(__name__)
