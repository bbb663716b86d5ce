# -*- test-case-name: cocained.test.test_gateways_vicodyn_ledger -*-
"""
Every request through the gateway ends exactly once, whatever happens.

Seeds drive nodes that answer, refuse, die, are dropped and come back, and clients
that talk, hang up, and do not read.  Each request has a token of its own: its event.
The nodes' side of the ledger says who got it, and the clients' how it ended.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cocained.gateways.vicodyn.likeness import ENQUEUE
from cocained.rpc.graph import CLOSE, ERROR, WRITE
from cocained.test.vicodyn_case import (
    NOT_CONNECTED,
    NOT_RUNNING,
    QUEUE_IS_FULL,
    RemoteNode,
    VicodynCase,
)
from cocained.testing import Peer

#: Runs of each policy, and steps of each run.
SEEDS = 60
STEPS = 250

REFUSALS = (QUEUE_IS_FULL, NOT_RUNNING, NOT_CONNECTED)
FINAL = ((42, 1, b"no"), (20991, 3, b"slave has been discarded"))


class Fate(Enum):
    """What a node did with a request."""

    OPEN = "is working on it"
    REFUSED = "did not take it"
    DONE = "has answered it"
    LOST = "was lost with it"


class Asked:
    """One request, as its client sees it."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.is_talking = True
        self.chunks: list[bytes] = []
        self.end: Any = None


class Caller:
    """A client and its requests, by channel."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.requests: dict[int, Asked] = {}
        self.is_here = True
        self.is_reading = True


class Run:
    """
    One run of one seed.

    :param case: where it takes place.
    :param seed: of everything that happens.
    """

    def __init__(self, case: VicodynCase, seed: int) -> None:
        self.case = case
        self.random = Random(seed)
        self.nodes = [case.remote(uuid, "app") for uuid in ("a", "b", "c")]
        #: nodes of which the gateway knows
        self.known = {remote.uuid for remote in self.nodes}
        self.callers: list[Caller] = []
        #: token to everyone who got it, with what became of it
        self.fates: dict[bytes, list[Fate]] = {}
        #: connection and channel to token and its place in the fates
        self.working: dict[tuple[Any, int], tuple[bytes, int]] = {}
        self.count = 0

    # The nodes' side

    def hear(self) -> None:
        """Let nodes read, and note who got what."""
        self.case.network.flush()
        for remote in self.nodes:
            for raw in remote.factory.raw:
                frames, raw.frames[:] = list(raw.frames), []
                for channel, kind, args, *_ in frames:
                    if kind == ENQUEUE and len(args) == 2 and args[0] == b"app":
                        self.arrived(raw, channel, args[1])
                if raw.lost:
                    self.lost(raw)

    def arrived(self, raw: Any, channel: int, token: bytes) -> None:
        fates = self.fates[token]
        # Nobody gets what somebody else may have done.
        self.case.assertEqual(set(fates) - {Fate.REFUSED}, set(), token)
        fates.append(Fate.OPEN)
        self.working[raw, channel] = token, len(fates) - 1

    def lost(self, raw: Any) -> None:
        for key in [key for key in self.working if key[0] is raw]:
            token, place = self.working.pop(key)
            self.fates[token][place] = Fate.LOST

    def answer(self, key: tuple[Any, int], act: str) -> None:
        """Let the node that works on a request do something."""
        raw, channel = key
        token, place = self.working[key]
        if raw.lost:
            return
        fates = self.fates[token]
        remote = next(r for r in self.nodes if raw in r.factory.raw)
        if act == "chunk":
            fates[place] = Fate.DONE
            self.say(remote, raw, channel, WRITE, token)
            return
        del self.working[key]
        if act == "refuse" and fates[place] is Fate.OPEN:
            fates[place] = Fate.REFUSED
            *pair, reason = self.random.choice(REFUSALS)
            self.say(remote, raw, channel, ERROR, pair, reason)
            return
        fates[place] = Fate.DONE
        if act == "close":
            self.say(remote, raw, channel, CLOSE)
        else:
            *pair, reason = self.random.choice(FINAL)
            self.say(remote, raw, channel, ERROR, pair, reason)

    def say(self, remote: RemoteNode, raw: Any, *frame: Any) -> None:
        if raw is remote.connection:
            remote.send(*frame)
        else:
            former = remote.factory.raw
            former.append(raw)
            remote.send(*frame)
            former.pop()

    # The clients' side

    def listen(self) -> None:
        """Let clients read, and note how requests end."""
        for caller in self.callers:
            if not caller.is_here:
                continue
            for channel, kind, args in caller.peer.take():
                asked = caller.requests[channel]
                self.case.assertIsNone(asked.end, f"{asked.token!r} ended twice")
                if kind == WRITE:
                    self.case.assertEqual(args, [asked.token])
                    asked.chunks.append(args[0])
                else:
                    asked.end = (kind, *args)
                    if kind == ERROR:
                        # An error ends both halves.
                        asked.is_talking = False

    def ask(self) -> None:
        if len(self.callers) < 4 or self.random.random() < 0.05:
            if "virtual::app" not in self.case.node.directory.services:
                return
            self.callers.append(Caller(self.case.client()))
        caller = self.random.choice(self.callers)
        if caller.is_here:
            self.count += 1
            token = b"request %d" % self.count
            self.fates[token] = []
            caller.requests[self.count] = Asked(token)
            caller.peer.send(self.count, 0, token)

    def talk(self) -> None:
        caller = self.random.choice(self.callers)
        for channel, asked in caller.requests.items():
            if caller.is_here and asked.is_talking and self.random.random() < 0.5:
                if self.random.random() < 0.5:
                    size = self.random.choice((0, 10, 5000, 70_000, 600_000))
                    caller.peer.send(channel, WRITE, b"x" * size)
                else:
                    asked.is_talking = False
                    caller.peer.send(channel, CLOSE)

    # What happens

    def step(self) -> None:
        dice = self.random.random()
        remote = self.random.choice(self.nodes)
        if dice < 0.3 or not self.callers:
            self.ask()
        elif dice < 0.5:
            self.talk()
        elif dice < 0.8 and self.working:
            act = self.random.choice(("chunk", "close", "refuse", "refuse", "error"))
            self.answer(self.random.choice(list(self.working)), act)
        elif dice < 0.85:
            caller = self.random.choice(self.callers)
            if caller.is_here and self.random.random() < 0.3:
                caller.is_here = False
                caller.peer.disconnect()
            elif caller.is_here and caller.is_reading:
                caller.is_reading = False
                caller.peer.stop_reading()
            elif caller.is_here:
                caller.is_reading = True
                caller.peer.read_again()
        elif dice < 0.89 and remote.connections and not remote.connection.lost:
            remote.hang_up()
        elif dice < 0.93:
            if remote.uuid in self.known:
                self.known.remove(remote.uuid)
                self.case.gateway.cleanup(remote.uuid)
            else:
                self.known.add(remote.uuid)
                remote.announce("app")
        elif dice < 0.95:
            latency = self.random.choice((None, 0.01))
            self.case.gateway.node_observed(remote.uuid, latency)
        else:
            self.case.network.pass_time(self.random.choice((0.1, 1.0, 6.0)))

    def settle(self) -> None:
        """Let everybody do what is still to do."""
        for caller in self.callers:
            if caller.is_here:
                caller.peer.read_again()
        for _ in range(20):
            self.hear()
            for key in list(self.working):
                self.answer(key, "close")
            self.listen()
            for caller in self.callers:
                for channel, asked in caller.requests.items():
                    if caller.is_here and asked.is_talking:
                        asked.is_talking = False
                        caller.peer.send(channel, CLOSE)

    def play(self) -> None:
        for _ in range(STEPS):
            self.step()
            self.hear()
            self.listen()
        self.settle()


class LedgerTests(SynchronousTestCase):
    """The promise, over many runs."""

    def play(self, policy: str) -> dict[str, int]:
        """Play all seeds; count what happened."""
        seen = dict.fromkeys(("replies", "errors", "retried", "lost"), 0)
        for seed in range(SEEDS):
            case = VicodynCase("run")
            case.args = {"balancer": {"args": {"policy": policy, "retry_count": 2}}}
            case.setUp()
            run = Run(case, seed)
            run.play()
            for caller in run.callers:
                for asked in caller.requests.values():
                    fates = run.fates[asked.token]
                    seen["retried"] += len(fates) > 1
                    seen["lost"] += Fate.LOST in fates
                    if caller.is_here:
                        self.assertIsNotNone(asked.end, (seed, asked.token, fates))
                        seen["replies" if asked.end[0] == CLOSE else "errors"] += 1
                if caller.is_here:
                    session = caller.peer.session
                    self.assertEqual((session.owed, session.channels), (0, {}), seed)
            for link in case.gateway.links:
                self.assertEqual(link.invocations, {}, seed)
            for app in case.gateway._apps.values():
                self.assertEqual(app._relays, {}, seed)
                for copy in app.copies.values():
                    self.assertEqual(copy.load.in_flight, 0, seed)
            self.assertEqual(case.gateway._ration.left, 64 * 1024 * 1024, seed)
            case.check_end()
        return seen

    def check(self, policy: str) -> None:
        """Everything that matters has happened often, so the promise was tried."""
        seen = self.play(policy)
        for what, count in seen.items():
            self.assertGreater(count, SEEDS, (what, seen))

    def test_turns(self) -> None:
        """By turns."""
        self.check("round-robin")

    def test_least_latency(self) -> None:
        """By latency."""
        self.check("least-latency")
