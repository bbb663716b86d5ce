# -*- test-case-name: cocained.test.live.test_reference_refusals -*-
"""
Requests to apps that break a rule, probe by probe (reference-behaviour.md §7).
"""

from __future__ import annotations

from cocained.test.live.support import AppCase, differs, live_suite, wait_for


class RefusalTests(AppCase):
    """Requests that break a rule."""

    @differs("A8, A9, A19")
    def test_a8_arguments(self) -> None:
        """An event must be a string, and there are three methods."""
        self.play(
            "probe",
            """
            > [1, 0, []]
            < [1, 1, [[7, 2], ~"got 0 element(s)"]]
            > [2, 0, [5]]
            < [2, 1, [[7, 2], "expected a string, got an integer"]]
            > [3, 3, []]
            < [3, 1, [[7, 5], "there is no method 3"]]
            > [4, 0, ["ping"]]
            < [4, 0, ["pong"]]
            < [4, 2, []]
            """,
        )

    def broken_stream(self, frame: str, answer: str) -> list[object]:
        """Break a stream, see that another lives on, and ask what the worker saw."""
        app = self.play(
            "probe",
            f"""
            > [1, 0, ["echo"]]
            > [2, 0, ["echo"]]
            > [2, 0, ["alive"]]
            < [2, 0, ["alive"]]
            > {frame}
            < {answer}
            > [2, 0, ["alive"]]
            < [2, 0, ["alive"]]
            > [2, 2, []]
            < [2, 2, []]
            """,
        )
        app.close()
        seen = self.ask("seen")
        return [each[1:3] for each in seen if each[2] and each[2] != [b"alive"]]

    @differs("A11b")
    def test_a11b_legacy_error(self) -> None:
        """An error of the old shape ends its channel, and the worker is told."""
        seen = self.broken_stream(
            '[1, 1, [2, "client gave up"]]', "[1, 1, [[7, 2], *]]"
        )
        self.assertEqual(seen[0][1][0], [7, 2])  # type: ignore[index]

    @differs("A14")
    def test_a14_unknown_type(self) -> None:
        """A message of no meaning ends its channel, and the worker is told."""
        seen = self.broken_stream("[1, 3, []]", "[1, 1, [[7, 5], *]]")
        self.assertEqual(seen[0][1][0], [7, 5])  # type: ignore[index]

    @differs("A14")
    def test_a14b_control_type(self) -> None:
        """So does a control message on a channel of a stream."""
        seen = self.broken_stream("[1, 65533, []]", "[1, 1, [[7, 5], *]]")
        self.assertEqual(seen[0][1][0], [7, 5])  # type: ignore[index]

    def test_a11_client_error(self) -> None:
        """An error of the client reaches the worker, with or without its text."""
        self.play(
            "probe",
            """
            > [1, 0, ["hang"]]
            > [1, 1, [[1, 2], "client gave up"]]
            > [2, 0, ["hang"]]
            > [2, 1, [[1, 2]]]
            > [3, 0, ["hang"]]
            > [3, 1, [[1, 2], "x", 5]]
            < (no answer)
            """,
        )
        seen = [[kind, args] for _, kind, args, _ in self.ask("seen")]
        self.assertEqual(
            seen,
            [
                [1, [[1, 2], b"client gave up"]],
                [1, [[1, 2], b""]],
                [1, [[1, 2], b"x"]],
            ],
        )

    def test_disconnected(self) -> None:
        """The worker hears that a client has gone without a close."""
        app = self.connect("probe")
        app.send(1, 0, ["echo"])
        app.send(1, 0, ["x"])
        app.receive()
        app.close()
        wait_for("it is told", lambda: not self.node.info("probe")[b"load"], 5)
        seen = [[kind, args[0]] for _, kind, args, _ in self.ask("seen")]
        self.assertEqual(seen, [[0, b"x"], [1, [5, 2]]])

    @differs("A12, A13")
    def test_a12_after_close(self) -> None:
        """What comes behind the client's close is dropped."""
        self.play(
            "probe",
            """
            > [1, 0, ["late"]]
            > [1, 2, []]
            > [1, 2, []]
            > [1, 0, ["x"]]
            < [1, 0, ["late"]]
            < [1, 2, []]
            > [2, 0, ["ping"]]
            < [2, 0, ["pong"]]
            < [2, 2, []]
            """,
        )

    @differs("X6")
    def test_x6_revoke(self) -> None:
        """A channel that its client has revoked is finished."""
        self.play(
            "probe",
            """
            > [1, 0, ["hang"]]
            > [2, 65535, [1, [1, 2]]]
            < [2, 0, []]
            > [1, 0, ["x"]]
            < (no answer)
            > [3, 0, ["ping"]]
            < [3, 0, ["pong"]]
            < [3, 2, []]
            """,
        )


test_suite = live_suite(__name__)
