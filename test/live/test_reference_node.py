# -*- test-case-name: cocained.test.live.test_reference_node -*-
"""
The node service, probe by probe (reference-behaviour.md §6).
"""

from __future__ import annotations

import time
from typing import Any

from typing_extensions import override

from cocained.test.live.support import (
    AppCase,
    Client,
    LiveCase,
    differs,
    live_suite,
    pack,
    program,
    wait_for,
)
from cocained.test.live.transcript import play

REPORT = {b"publushed": True, b"state": b"running"}


class StartTests(LiveCase):
    """Apps that can and cannot be started."""

    @override
    def prepare(self) -> None:
        """Upload an app and some that are broken."""
        worker = {"worker": program("probe.py")}
        for name in ("echo", "noarch", "badtar"):
            self.node.upload(name, worker)
        self.node.profile("default")
        self.node.profile("badisolate", isolate={"type": "nosuch"})
        self.node.profile("nopool", pool_limit=0)
        self.node.write("manifests", "noslave", pack({}), "app")
        self.node.write("manifests", "badman", b"\xc1", "app")
        self.node.write("apps", "badtar", pack(b"no tar at all"), "app")
        with self.node.client("storage") as storage:
            storage.call(2, "apps", "noarch")

    def test_n3_start(self) -> None:
        """An app is started once, then listed and known by its state."""
        client = self.play(
            "node",
            """
            > [1, 2, []]
            < [1, 0, [[]]]
            > [2, 0, ["echo", "default"]]
            < [2, 0, []]
            > [3, 2, []]
            < [3, 0, [["echo"]]]
            > [4, 0, ["echo", "default"]]
            < [4, 1, [[20991, 5], "app 'echo' is running: application has already been started"]]
            """,  # noqa: E501
        )
        client.channel = 4
        (report,) = client.call(3, "echo", 0)
        self.assertEqual(report, {**REPORT, b"uptime": report[b"uptime"]})
        (full,) = client.call(3, "echo", 1)
        none = {0.0}
        self.assertEqual(set(full.pop(b"timings").values()), none)
        self.assertEqual(set(full.pop(b"timings_reversed").values()), none)
        self.assertEqual(
            full,
            {
                **REPORT,
                b"uptime": full[b"uptime"],
                b"load": 0,
                b"pool": {
                    b"active": 0,
                    b"capacity": 10,
                    b"idle": 0,
                    b"slaves": {},
                    b"total:crashed": 0,
                    b"total:spawned": 0,
                },
                b"profile": {b"name": b"default"},
                b"queue": {
                    b"capacity": 100,
                    b"depth": 0,
                    b"depth_average": 0.0,
                    b"oldest_event_age": 0,
                },
                b"rate": [0.0, 0.0, 0.0],
                b"rate_mean": 0.0,
                b"requests": {b"accepted": 0, b"rejected": 0},
            },
        )

    def test_n4_missing(self) -> None:
        """N4, N5: without a manifest or a profile it is [12, 2], and not listed."""
        store = self.node.directory / "store"
        self.play(
            "node",
            f"""
            > [1, 0, ["nomanifest", "default"]]
            < [1, 1, [[12, 2], "{store}/manifests/nomanifest: No such file or directory"]]
            > [2, 0, ["echo", "noprofile"]]
            < [2, 1, [[12, 2], "{store}/profiles/noprofile: No such file or directory"]]
            > [3, 2, []]
            < [3, 0, [[]]]
            """,  # noqa: E501
        )

    @differs("N6")
    def test_n6_manifests(self) -> None:
        """N6, N7: a manifest that names no program, or is none, is refused."""
        self.play(
            "node",
            """
            > [1, 0, ["noslave", "default"]]
            < [1, 1, [[12, 22], ~"runnable object has not been specified"]]
            > [2, 0, ["badman", "default"]]
            < [2, 1, [[7, 7], "parse error"]]
            > [3, 2, []]
            < [3, 0, [[]]]
            """,
        )

    @differs("N8")
    def test_n8_no_archive(self) -> None:
        """An app without code is broken, says why, and can be tried again."""
        client = self.play(
            "node",
            """
            > [1, 0, ["noarch", "default"]]
            < [1, 1, [[12, 2], ~"/apps/noarch: No such file or directory"]]
            > [2, 2, []]
            < [2, 0, [["noarch"]]]
            > [3, 3, ["noarch", 1]]
            < [3, 0, [{"cause": ~"/apps/noarch: No such file", "error": 2, "state": "broken"}]]
            > [4, 0, ["noarch", "default"]]
            < [4, 1, [[12, 2], *]]
            > [5, 1, ["noarch"]]
            < [5, 0, []]
            > [6, 2, []]
            < [6, 0, [[]]]
            """,  # noqa: E501
        )
        self.assertEqual(client.rest(0.05), [])

    @differs("N15", "N17")
    def test_n8_use(self) -> None:
        """A broken app takes neither events nor numbers, and says why."""
        self.play(
            "node",
            """
            > [1, 0, ["noarch", "default"]]
            < [1, 1, [[12, 2], *]]
            > [2, 5, ["noarch", "ping"]]
            < [2, 1, [[12, 32], "application noarch is broken: Broken pipe"]]
            > [3, 4, ["noarch"]]
            < [3, 1, [[20991, 6], "app 'noarch' is broken: application is not running"]]
            > [4, 2, []]
            < [4, 0, [["noarch"]]]
            """,
        )
        self.play("locator", '> [1, 0, ["noarch"]]\n< [1, 1, [[10, 1], *]]')

    @differs("N8")
    def test_n8_repaired(self) -> None:
        """A broken app starts, without a pause, when its code has arrived."""
        self.play("node", '> [1, 0, ["noarch", "default"]]\n< [1, 1, [[12, 2], *]]')
        self.node.upload("noarch", {"worker": program("probe.py")})
        self.play("node", '> [1, 0, ["noarch", "default"]]\n< [1, 0, []]')
        with self.node.client("noarch") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])

    @differs("N9")
    def test_n9_no_tar(self) -> None:
        """An archive of no known format says what was expected."""
        self.play(
            "node",
            """
            > [1, 0, ["badtar", "default"]]
            < [1, 1, [[12, 84], ~"Unrecognized archive format"]]
            > [2, 3, ["badtar", 0]]
            < [2, 0, [{"cause": ~"tar.gz", "error": 84, "state": "broken"}]]
            > [3, 1, ["badtar"]]
            < [3, 0, []]
            """,
        )

    @differs("N11")
    def test_n11_isolate(self) -> None:
        """An isolate that is not there is [8, 7]."""
        self.play(
            "node",
            """
            > [1, 0, ["echo", "badisolate"]]
            < [1, 1, [[8, 7], ~"isolate type 'nosuch'"]]
            > [2, 2, []]
            < [2, 0, [[]]]
            """,
        )

    @differs("pool-limit 0")
    def test_no_pool(self) -> None:
        """A pool of no workers is refused; it ends the original's process."""
        self.play(
            "node",
            """
            > [1, 0, ["echo", "nopool"]]
            < [1, 1, [[12, 22], ~"pool-limit"]]
            > [2, 2, []]
            < [2, 0, [[]]]
            """,
        )

    @differs("N12", "N19")
    def test_n12_arguments(self) -> None:
        """What does not fit is refused on its channel."""
        self.play(
            "node",
            """
            > [1, 0, ["echo"]]
            < [1, 1, [[7, 2], ~"got 1 element(s)"]]
            > [2, 6, []]
            < [2, 1, [[7, 5], "there is no method 6"]]
            > [3, 2, [1]]
            < [3, 0, [[]]]
            > [4, 65533, []]
            < [4, 0, []]
            """,
        )

    def test_n13_not_running(self) -> None:
        """Without the app there is nothing to pause, to ask or to call."""
        self.play(
            "node",
            """
            > [1, 1, ["echo"]]
            < [1, 1, [[20991, 6], "app 'echo' is not running: application is not running"]]
            > [2, 3, ["echo"]]
            < [2, 1, [[12, 22], "app 'echo' is not running: Invalid argument"]]
            > [3, 5, ["echo", "ping"]]
            < [3, 1, [[20991, 6], "application echo is not found"]]
            > [3, 2, []]
            < (no answer)
            > [4, 2, []]
            < [4, 0, [[]]]
            """,  # noqa: E501
        )

    @differs("N15")
    def test_n15_control_unknown(self) -> None:
        """Control of an app that is not there is refused on its channel."""
        self.play(
            "node",
            """
            > [1, 4, ["nope"]]
            < [1, 1, [[20991, 6], ~"nope"]]
            > [2, 2, []]
            < [2, 0, [[]]]
            """,
        )


class RunningTests(AppCase):
    """A running app."""

    limits = {"pool-limit": 10}

    def test_n14_pause(self) -> None:
        """A paused app is gone at once, for the node and for the locator."""
        with self.node.client("probe") as app:
            app.stream("ping")
        self.play(
            "node",
            """
            > [1, 1, ["probe"]]
            < [1, 0, []]
            > [2, 2, []]
            < [2, 0, [[]]]
            > [3, 3, ["probe"]]
            < [3, 1, [[12, 22], *]]
            """,
        )
        self.play("locator", '> [1, 0, ["probe"]]\n< [1, 1, [[10, 1], *]]')
        wait_for("its worker ends", lambda: not self.node.children(), 5)
        self.node.start_app("probe", "default")
        with self.node.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])

    def test_paused_under_way(self) -> None:
        """Requests under way are answered with an error when the app is paused."""
        app = self.connect("probe")
        app.send(1, 0, ["hang"])
        wait_for("it is at work", lambda: self.node.info("probe")[b"load"], 5)
        self.node.pause_app("probe")
        play(app, '< [1, 1, [[2, 125], "slave has been discarded"]]')

    def test_paused_connection(self) -> None:
        """A connection that outlives its app learns of it, by [12, 32]."""
        app = self.connect("probe")
        app.stream("ping")
        self.node.pause_app("probe")
        play(
            app,
            """
            > [5, 0, ["ping"]]
            < [5, 1, [[12, 32], *]]
            > [6, 1, []]
            < [6, 1, [[12, 32], "the application has been stopped: Broken pipe"]]
            """,
        )

    def test_n18_enqueue(self) -> None:
        """An event may come through the node service."""
        self.play(
            "node",
            """
            > [1, 5, ["probe", "echo"]]
            < (no answer)
            > [1, 0, ["x"]]
            < [1, 0, ["x"]]
            > [1, 2, []]
            < [1, 2, []]
            """,
        )


class RunlistTests(AppCase):
    """Apps that are started with the node."""

    def test_runlist(self) -> None:
        """They run when the node is there again, without a worker at first."""
        self.node.write("runlists", "boot", pack({"probe": "default"}), "runlist")
        again = self.start_again()
        wait_for("the app runs", lambda: is_running(again.client("node")), 5)
        self.assertEqual(again.info("probe")[b"pool"][b"slaves"], {})
        with again.client("probe") as app:
            self.assertEqual(app.stream("ping"), [b"pong"])

    def start_again(self) -> Any:
        """Start a node on the same storage."""
        storages = self.node.configuration["storages"]
        runlist = {"node": {"type": "node", "args": {"runlist": "boot"}}}
        return self.start_node({"storages": storages, "services": runlist})


def is_running(node: Client) -> bool:
    """Say whether the node has started ``probe``."""
    with node:
        if node.call(2)[0] != [b"probe"]:
            return False
        return bool(node.call(3, "probe")[0][b"state"] == b"running")


class RestartTests(AppCase):
    """Apps that are started again while their workers still end."""

    def test_at_once(self) -> None:
        """The new workers of an app are not disturbed by the end of the old ones."""
        with self.node.client("probe") as app:
            old = app.stream("who")
        for _ in range(3):
            self.node.pause_app("probe")
            self.node.start_app("probe", "default")
            with self.node.client("probe") as app:
                new = app.stream("who")
            self.assertNotEqual(new, old)
            old = new
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:crashed"], 0)

    @differs("pause")
    def test_stubborn(self) -> None:
        """Nor by old ones that do not end until they are killed."""
        busy = self.connect("probe")
        busy.send(1, 0, ["stuck"])
        wait_for("it is at work", lambda: self.node.info("probe")[b"load"], 5)
        began = time.monotonic()
        self.node.pause_app("probe")
        self.assertLess(time.monotonic() - began, 1)
        self.node.start_app("probe", "default")
        with self.node.client("probe") as app:
            first = app.stream("who")
            wait_for("the old one is killed", lambda: len(self.node.children()) == 1, 8)
            self.assertEqual(app.stream("who"), first)
        with self.node.client("node") as node:
            node.call(1, "probe")
            node.call(0, "probe", "default")
        with self.node.client("probe") as app:
            self.assertNotEqual(app.stream("who"), first)


test_suite = live_suite(__name__)
