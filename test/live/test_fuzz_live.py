# -*- test-case-name: cocained.test.live.test_fuzz_live -*-
"""
One node, and clients and workers that do anything in any order.

After each run a client that behaves is served; after all of them the node has
given back what it took.  ``COCAINED_FUZZ_SECONDS`` asks for more than the short
form, which always plays the same in CI::

    COCAINED_LIVE=1 COCAINED_FUZZ_SECONDS=600 \\
        python -m twisted.trial cocained.test.live.test_fuzz_live

A failure shows the steps that led to it, and a blob that repeats them.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from cocained.test.live.babble import (
    CALLS,
    CUTS,
    EVENT_NAMES,
    EVENTS,
    FRAMES,
    GARBAGE,
    conversations,
)
from cocained.test.live.chaos import (
    ALLOWANCE,
    BAD,
    GOOD,
    SPARE,
    Peer,
    Site,
    check_returned,
    check_text,
)
from cocained.test.live.proc import Usage
from cocained.test.live.support import WORKERS, live_reason, live_suite, pack

#: Asks for the long form: for how many seconds.
SECONDS = "COCAINED_FUZZ_SECONDS"

#: Runs of the short form, and steps of each run: half a minute in all.
RUNS, STEPS = 60, 40

#: Runs before the node is measured for the first time: they load every module
#: and fill every cache.
WARM_UP = 8

#: Runs in each round of the long form.
ROUND = 100

SHORT = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    # A red build is to be about the change, and not about the day.
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


class Chaos(RuleBasedStateMachine):
    """
    One run.

    :param site: the node, shared by all runs.
    """

    clients = Bundle("clients")
    strangers = Bundle("strangers")

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.site = site
        self.peers: list[Peer] = []
        site.restart()

    def _keep(self, peer: Peer) -> Peer:
        self.peers.append(peer)
        return peer

    # Everybody who has gone stays in the bundle: nobody minds what they say, and
    # a run without anybody to act would count for nothing.

    @initialize(target=clients)
    def begin_with_client(self) -> tuple[str, Peer]:
        """A client of the bad app is there."""
        return BAD, self._keep(self.site.connect(BAD))

    @initialize(target=strangers)
    def begin_with_stranger(self) -> tuple[str, Peer]:
        """So is somebody who is no worker of it."""
        return BAD, self._keep(self.site.call_as_worker(BAD))

    @rule(target=clients, service=st.sampled_from(sorted(CALLS)))
    def connect(self, service: str) -> tuple[str, Peer]:
        """A client comes."""
        return service, self._keep(self.site.connect(service))

    @rule(client=clients, calls=st.data(), cuts=CUTS)
    def call(self, client: tuple[str, Peer], calls: Any, cuts: list[int]) -> None:
        """It says what its service understands."""
        service, peer = client
        frames = calls.draw(st.lists(CALLS[service], min_size=1, max_size=5))
        peer.send(b"".join(frames), cuts)

    @rule(client=clients, data=conversations(), cuts=CUTS)
    def converse(self, client: tuple[str, Peer], data: bytes, cuts: list[int]) -> None:
        """It has an event, which only apps understand."""
        client[1].send(data, cuts)

    @rule(client=clients | strangers, frames=st.lists(FRAMES, min_size=1, max_size=5))
    def babble(self, client: tuple[str, Peer], frames: list[bytes]) -> None:
        """It says what means nothing."""
        client[1].send(b"".join(frames))

    @rule(client=clients | strangers, data=GARBAGE, cuts=CUTS)
    def garbage(self, client: tuple[str, Peer], data: bytes, cuts: list[int]) -> None:
        """It says what is no frame."""
        client[1].send(data, cuts)

    @rule(client=clients)
    def read(self, client: tuple[str, Peer]) -> None:
        """It reads what was answered; else nobody does."""
        client[1].read()

    @rule(client=clients | strangers)
    def finish(self, client: tuple[str, Peer]) -> None:
        """It closes its half."""
        client[1].finish()

    @rule(client=clients)
    def abort(self, client: tuple[str, Peer]) -> None:
        """It is cut off."""
        client[1].abort()

    @rule(client=clients | strangers)
    def leave(self, client: tuple[str, Peer]) -> None:
        """It goes."""
        client[1].close()

    @rule(target=strangers, app=st.sampled_from([GOOD, BAD]))
    def intrude(self, app: str) -> tuple[str, Peer]:
        """Somebody calls where the workers of an app call."""
        return app, self._keep(self.site.call_as_worker(app))

    @rule(stranger=strangers, uuid=st.text(max_size=40), channel=st.integers(0, 3))
    def pretend(self, stranger: tuple[str, Peer], uuid: str, channel: int) -> None:
        """It says a name that no worker has."""
        stranger[1].send(pack([channel, 0, [uuid.encode("utf-8", "replace")]]))

    @rule(stranger=strangers, protocol=st.integers(0, 2))
    def usurp(self, stranger: tuple[str, Peer], protocol: int) -> None:
        """It says the name of a worker that lives, and what workers say then."""
        for uuid in self.site.uuids():
            stranger[1].send(pack([1, 0, [uuid]]) + pack([1, protocol, []]))

    @rule(event=EVENTS)
    def provoke(self, event: bytes) -> None:
        """A worker is asked to misbehave, by a client that listens."""
        peer = self._keep(self.site.connect(BAD))
        peer.send(pack([1, 0, [event]]) + pack([1, 0, [b"x"]]) + pack([1, 2, []]))
        peer.read()

    @rule()
    def serve(self) -> None:
        """Somebody who behaves is served meanwhile."""
        self.site.check_service()

    @invariant()
    def alive(self) -> None:
        """The node is there."""
        self.site.check_alive()

    @override
    def teardown(self) -> None:
        """Everybody goes; no harm is done."""
        for peer in self.peers:
            peer.close()
        self.site.survived()


class CheckTests(SynchronousTestCase):
    """What would be noticed."""

    def test_log(self) -> None:
        """A traceback in the log is, with what is around it; other words are not."""
        check_text(b"info: an app has stopped\nwarn: a frame was refused\n")
        error = self.assertRaises(
            AssertionError, check_text, b"a call failed\nTraceback (most\n  File x\n"
        )
        self.assertIn("a call failed", str(error))
        self.assertIn("File x", str(error))

    def test_returned(self) -> None:
        """So is what is not given back."""
        before = Usage(resident=50 << 20, descriptors=20, threads=5, seconds=1.0)
        check_returned(before, before._replace(seconds=9.0))
        for after in (
            before._replace(descriptors=20 + SPARE + 1),
            before._replace(resident=before.resident + ALLOWANCE + 1),
        ):
            self.assertRaises(AssertionError, check_returned, before, after)

    def test_events(self) -> None:
        """The worker knows every event that may be asked of it, but one."""
        source = (WORKERS / "chaos.py").read_text()
        names = set(re.findall(r"^    def (\w+)\(self, channel, data\)", source, re.M))
        self.assertEqual({name.decode() for name in EVENT_NAMES} - names, {"what"})


class ChaosTests(SynchronousTestCase):
    """The node and its peers."""

    skip = live_reason()

    def play(self, site: Site, how: settings) -> None:
        """Have some runs."""
        # It takes whatever makes a machine, and says a class.
        try:
            run_state_machine_as_test(lambda: Chaos(site), settings=how)  # type: ignore[arg-type]
        except Exception as error:
            # A process that lives need not fail twice: once is enough.
            flaky = isinstance(error, FlakyFailure)
            first = error.exceptions[0] if flaky else error
            # The steps and the blob are notes, which trial does not show.
            for each in (error, first):
                print("\n".join(getattr(each, "__notes__", ())))
            raise first from None

    def test_chaos(self) -> None:
        """Whatever peers do, others are served, and all is given back."""
        site = Site()
        self.addCleanup(site.close)
        began = time.monotonic()
        self.play(site, settings(SHORT, max_examples=WARM_UP))
        before = site.at_rest()
        self.play(site, SHORT)
        until = began + float(os.environ.get(SECONDS, 0))
        while time.monotonic() < until:
            self.play(site, settings(SHORT, max_examples=ROUND, derandomize=False))
        after = site.at_rest()
        took = time.monotonic() - began
        print(f"\n{site.runs} runs, {site.actions} connections, {took:.0f} s")
        print(f"before: {before}\nafter:  {after}")
        site.check_log()
        check_returned(before, after)
        site.node.stop()


test_suite = live_suite(__name__)
