# -*- test-case-name: cocained.test.live.test_rows_clients -*-
"""
What a client meets, as the technical details promise it (rows 117 to 122).
"""

from __future__ import annotations

import socket

from cocained.errors import RemoteError
from cocained.test.live.support import AppCase, LiveCase, live_suite, program, wait_for
from cocained.test.live.transcript import play


class ConnectionTests(AppCase):
    """From a name to an answer."""

    def test_row_117_resolve(self) -> None:
        """A name leads to addresses, a version and methods (rows 117, 122)."""
        with self.node.client("locator") as locator:
            endpoints, version, graph = locator.call(0, "probe")
        self.assertEqual(version, 1)
        names = {number: method[0] for number, method in graph.items()}
        self.assertEqual(names, {0: b"enqueue", 1: b"info", 2: b"control"})
        # Numeric, so that no client needs a resolver.
        ((host, port),) = endpoints
        self.assertEqual(socket.inet_aton(host.decode()), b"\x7f\0\0\1")
        self.assertGreater(port, 0)

    def test_row_118_tcp(self) -> None:
        """Apps are reached by TCP, without delays for small frames (row 118)."""
        app = self.connect("probe")
        self.assertEqual(app.socket.family, socket.AF_INET)
        self.assertEqual(app.stream("ping"), [b"pong"])

    def test_row_119_many(self) -> None:
        """A hundred calls share a connection, each with its answer (row 119)."""
        app = self.connect("probe")
        numbers = range(1, 101)
        for number in numbers:
            app.send(number, 0, ["echo"])
            app.send(number, 0, [str(number)])
            app.send(number, 2, [])
        answers = dict(frame[::2][:2] for frame in app.take(200) if frame[1] == 0)
        self.assertEqual(answers, {n: [str(n).encode()] for n in numbers})

    def test_row_120_kept(self) -> None:
        """A connection serves call after call, silent times between (row 120)."""
        app = self.connect("probe")
        for _ in range(3):
            self.assertEqual(app.stream("ping"), [b"pong"])
            self.assertEqual(app.rest(0.3), [])


class ChangeTests(AppCase):
    """Services that end, restart and change."""

    def test_row_121_ended(self) -> None:
        """Calls under way fail, and the name is unknown from then on (row 121)."""
        app = self.connect("probe")
        app.send(1, 0, ["hang"])
        wait_for("it is at work", lambda: self.node.info("probe")[b"load"], 5)
        self.node.pause_app("probe")
        play(app, '< [1, 1, [[2, 125], "slave has been discarded"]]')
        self.assert_refused(10, 1, "not available", self.node.resolve, "probe")

    def test_row_121_restarted(self) -> None:
        """After a restart the name leads to the service again (row 121)."""
        old = self.connect("probe")
        old.stream("ping")
        self.node.pause_app("probe")
        self.node.start_app("probe", "default")
        error = self.assertRaises(RemoteError, old.stream, "ping")
        self.assertEqual((error.category, error.code), (12, 32))
        with self.node.client("probe") as new:
            self.assertEqual(new.stream("ping"), [b"pong"])

    def test_row_121_node_restarted(self) -> None:
        """So does it when the whole node was down, whose end is heard (row 121)."""
        app = self.connect("probe")
        app.stream("ping")
        self.node.stop()
        self.assertTrue(app.is_closed())
        self.node.start()
        self.node.start_app("probe", "default")
        with self.node.client("probe") as again:
            self.assertEqual(again.stream("ping"), [b"pong"])

    def test_row_121_new_code(self) -> None:
        """A new version of an app answers after its restart (row 121)."""
        changed = program("probe.py").replace(b'b"pong"', b'b"second version"')
        self.node.upload("probe", {"worker": changed})
        with self.node.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])
        self.node.pause_app("probe")
        self.node.start_app("probe", "default")
        with self.node.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"second version"])


class GraphTests(LiveCase):
    """A service from outside, which comes back in a new version."""

    changes = {
        "services": {
            "locator": {"type": "locator", "args": {"gateway": {"type": "adhoc"}}}
        }
    }

    def test_row_121_new_methods(self) -> None:
        """Who resolves again learns of the new methods (row 121)."""
        for version, method in ((1, "old"), (2, "new")):
            publisher = self.play(
                "locator",
                f"""
                > [1, 4, ["ext", [["127.0.0.1", 9999]], [{version}, {{0: ["{method}", {{}}, PRIM]}}]]]
                < [1, 0, []]
                """,  # noqa: E501
            )
            self.play(
                "locator",
                f"""
                > [1, 0, ["ext"]]
                < [1, 0, [[["127.0.0.1", 9999]], {version}, {{0: ["{method}", {{}}, PRIM]}}]]
                """,  # noqa: E501
            )
            publisher.close()
            wait_for("it is gone", self.is_gone, 5)

    def is_gone(self) -> bool:
        """Say whether the service is unknown."""
        try:
            self.node.resolve("ext")
        except RemoteError:
            return True
        return False


test_suite = live_suite(__name__)
