# -*- test-case-name: cocained.test.live.test_reference_workers -*-
"""
Workers that misbehave, probe by probe (reference-behaviour.md §7.2).
"""

from __future__ import annotations

from typing import Any

from cocained.test.live.support import (
    AppCase,
    Client,
    differs,
    live_suite,
    pack,
    wait_for,
)
from cocained.test.live.transcript import play

PONG = """
    > [9, 0, ["ping"]]
    < [9, 0, ["pong"]]
    < [9, 2, []]
"""


class MisbehaviourTests(AppCase):
    """A request to a worker that breaks a rule, then a ping."""

    def misbehave(self, script: str) -> None:
        """
        Play *script* beside a request that is under way, then ping.

        The other request must not notice: the worker is kept.
        """
        app = self.connect("probe")
        play(app, '> [1, 0, ["echo"]]\n> [1, 0, ["a"]]\n< [1, 0, ["a"]]')
        play(app, script)
        play(app, '> [1, 0, ["b"]]\n< [1, 0, ["b"]]\n> [1, 2, []]\n< [1, 2, []]')
        play(app, PONG)
        pool = self.node.info("probe")[b"pool"]
        self.assertEqual((pool[b"total:spawned"], pool[b"total:crashed"]), (1, 0))

    @differs("W-afterchoke, W-twochoke")
    def test_afterchoke(self) -> None:
        """A chunk behind the close of an answer is dropped."""
        self.misbehave('> [2, 0, ["afterchoke"]]\n< [2, 2, []]\n< (no answer)')

    @differs("W-afterchoke, W-twochoke")
    def test_twochoke(self) -> None:
        """A second close is dropped."""
        self.misbehave('> [2, 0, ["twochoke"]]\n< [2, 2, []]\n< (no answer)')

    @differs("W-errlegacy, W-badargs, W-intchunk, W-badtype")
    def test_errlegacy(self) -> None:
        """An error of the old shape fails its request only."""
        self.misbehave('> [2, 0, ["errlegacy"]]\n< [2, 1, [[7, 2], ~"error"]]')

    @differs("W-errlegacy, W-badargs, W-intchunk, W-badtype")
    def test_badargs(self) -> None:
        """A chunk of nothing fails its request only."""
        self.misbehave('> [2, 0, ["badargs"]]\n< [2, 1, [[7, 2], ~"chunk"]]')

    @differs("W-errlegacy, W-badargs, W-intchunk, W-badtype")
    def test_intchunk(self) -> None:
        """A chunk that is a number fails its request only."""
        self.misbehave('> [2, 0, ["intchunk"]]\n< [2, 1, [[7, 2], ~"chunk"]]')

    @differs("W-errlegacy, W-badargs, W-intchunk, W-badtype")
    def test_badtype(self) -> None:
        """A message of no meaning fails its request only."""
        self.misbehave('> [2, 0, ["badtype"]]\n< [2, 1, [[7, 5], ~"message 7"]]')

    def test_newch(self) -> None:
        """A channel that the worker opens is a second handshake, and refused."""
        self.misbehave('> [2, 0, ["newch"]]\n< (no answer)\n> [2, 2, []]')

    @differs("worker control")
    def test_control(self) -> None:
        """Control messages that do not exist are dropped (protocol.md §8.6)."""
        self.misbehave('> [2, 0, ["badcontrol"]]\n< (no answer)\n> [2, 2, []]')


class EndTests(AppCase):
    """Requests whose worker ends."""

    def last_crash(self) -> list[bytes]:
        """Give the lines of the one crash log."""
        (lines,) = self.node.crashlogs("probe")
        return lines

    def test_badframe(self) -> None:
        """A worker that sends garbage is dropped, and the next one serves."""
        self.play(
            "probe",
            '> [1, 0, ["badframe"]]'
            '\n< [1, 1, [[6, 4], "slave has been discarded"]]' + PONG,
        )

    def test_crash(self) -> None:
        """A worker that exits fails its requests, and its last words are kept."""
        self.play(
            "probe",
            """
            > [1, 0, ["hang"]]
            > [2, 0, ["crash"]]
            < [1, 1, [[5, 2], "slave has been discarded"]]
            < [2, 1, [[5, 2], "slave has been discarded"]]
            """
            + PONG,
        )
        lines = self.last_crash()
        self.assertEqual(lines[0], b"about to crash")
        self.assertIn(b"exited with status 3", lines[-1])

    def test_term(self) -> None:
        """A worker may say farewell by itself."""
        self.play(
            "probe",
            '> [1, 0, ["term"]]\n< [1, 1, [[2, 125], "slave has been discarded"]]'
            + PONG,
        )


class StrangerTests(AppCase):
    """Whoever connects to the socket of the workers (protocol.md §8.6)."""

    def visit(self, *frames: list[Any]) -> Client:
        """Connect where workers do, and say something."""
        assert self.node.process is not None
        name = f"probe.{self.node.process.pid}"
        stranger = Client(self.node.directory / "run" / name)
        self.addCleanup(stranger.close)
        stranger.send_bytes(b"".join(map(pack, frames)))
        return stranger

    @differs("F1", "handshake")
    def test_row_107_strangers(self) -> None:
        """Who is no worker of ours is disconnected; others work on (row 107)."""
        app = self.connect("probe")
        app.stream("ping")
        (uuid,) = self.node.info("probe")[b"pool"][b"slaves"]
        for frame in (
            [1, 0, ["00000000-0000-4000-8000-000000000000"]],
            [1, 0, [uuid]],
            [1, 0, [5]],
            [1, 0, []],
            [1, 1, []],
        ):
            self.assertTrue(self.visit(frame).is_closed(), frame)
        self.assertEqual(self.visit([0, 0, [uuid]]).receive()[2][0], [7, 4])
        self.assertEqual(app.stream("ping"), [b"pong"])
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:spawned"], 1)


class HeartbeatTests(AppCase):
    """Workers that fall silent."""

    limits = {"heartbeat-timeout": 2}

    def test_no_heartbeats(self) -> None:
        """A worker without heartbeats is discarded, and another one serves."""
        self.play(
            "probe",
            '> [1, 0, ["silence"]]\n< [1, 1, [[2, 125], "slave has been discarded"]]'
            + PONG,
        )
        ((last,),) = [lines[-1:] for lines in self.node.crashlogs("probe")]
        self.assertIn(b"heartbeat", last)


class IdleTests(AppCase):
    """Workers that have nothing to do."""

    limits = {"idle-timeout": 1}

    @differs("idle-timeout")
    def test_idle(self) -> None:
        """An idle worker ends; in the original the key has no effect."""
        app = self.connect("probe")
        first = app.stream("who")
        wait_for("the worker ends", lambda: not self.node.children(), 8)
        self.assertNotEqual(app.stream("who"), first)
        self.assertEqual(self.node.info("probe")[b"pool"][b"total:crashed"], 0)


test_suite = live_suite(__name__)
