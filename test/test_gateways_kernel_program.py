# -*- test-case-name: cocained.test.test_gateways_kernel_program -*-
"""
Programs of the system: real children, small scripts, and time on a clock.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cocained.gateways.kernel import program as module
from cocained.gateways.kernel.program import (
    TIME_LIMIT,
    WORDS_LIMIT,
    ProgramFailed,
    ProgramRunner,
    failed,
)


class ClockedReactor:
    """The real reactor, with a clock of the test's own."""

    def __init__(self, reactor: Any, clock: Clock) -> None:
        self._reactor = reactor
        self.callLater = clock.callLater
        self.seconds = clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


class RunTests(TestCase):
    """One run."""

    timeout = 30

    def setUp(self) -> Any:
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.clock = Clock()
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.runner = ProgramRunner(
            ClockedReactor(reactor, self.clock),  # type: ignore[arg-type]
            {"PATH": f"{self.directory}:{os.environ['PATH']}"},
        )
        # A reactor that runs has some of its own.
        await deferLater(self.reactor, 0)
        self.descriptors = len(os.listdir("/proc/self/fd"))

    def tearDown(self) -> Any:
        return deferLater(self.reactor, 0, self.nothing_is_left)

    def nothing_is_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(os.listdir("/proc/self/fd")), self.descriptors)

    def script(self, text: str, first: str = "#!/bin/sh") -> None:
        """Make the program ``it``."""
        path = self.directory / "it"
        path.write_text(f"{first}\n{text}\n")
        path.chmod(0o755)

    async def refused(self, *command: str) -> ProgramFailed:
        """Run a program that fails."""
        failure: Any = await self.assertFailure(self.runner.run(command), ProgramFailed)
        return cast(ProgramFailed, failure)

    async def test_rules(self) -> None:
        """It reads what it is given, however much that is, and is heard."""
        self.script('cat; echo "$@" >&2')
        rules = "a rule\n" * 100_000

        self.assertEqual(
            await self.runner.run(["it", "-R", "x y"], rules), f"{rules}-R x y\n"
        )

    async def test_standard_input_by_name(self) -> None:
        """It may also open its standard input by name, as nft does."""
        self.script("cat /dev/stdin")

        self.assertEqual(await self.runner.run(["it"], "a rule\n"), "a rule\n")

    async def test_environment(self) -> None:
        """It speaks a language that we know, and nothing of ours gets to it."""
        self.script('echo "$LC_ALL $HOME"; pwd')

        self.assertEqual(await self.runner.run(["it"]), "C \n/\n")

    async def test_system_programs(self) -> None:
        """It is found where such programs are, whatever the path of the node."""
        runner = ProgramRunner(self.reactor, {})

        failure = await self.assertFailure(runner.run(["ls", "/x"]), ProgramFailed)

        self.assertIn("there is no program 'ls'", str(failure))
        self.assertEqual(os.pathsep.join(["", runner._path]), f":{module.SYSTEM_PATH}")

    async def test_missing(self) -> None:
        """A program that is not there is named together with its package."""
        runner = ProgramRunner(self.reactor, {"PATH": str(self.directory)})
        self.patch(module, "SYSTEM_PATH", "")

        for name, package in (("nft0", "nft0"), ("ipvsadm0", "ipvsadm0")):
            failure = await self.assertFailure(runner.run([name]), ProgramFailed)
            self.assertIn(
                f"install the package that brings it, such as {package}", str(failure)
            )
        self.assertEqual(module.PACKAGES["nft"], "nftables")

    async def test_no_program(self) -> None:
        """One that cannot be executed is an error at once."""
        self.script("true", first="#!/nonexistent/interpreter")

        self.assertIn("No such file or directory", str(await self.refused("it")))

    async def test_status(self) -> None:
        """One that fails says so in its own words."""
        self.script("echo 'Service  already\nexists' >&2; exit 3")

        failure = await self.refused("it")

        self.assertEqual(str(failure), "it ended with status 3: Service already exists")
        self.assertEqual(failure.words, "Service  already\nexists\n")

    async def test_killed(self) -> None:
        """One that somebody kills says by what."""
        self.script("kill -9 $$")

        self.assertEqual(str(await self.refused("it")), "it was killed by SIGKILL")

    async def test_late(self) -> None:
        """One that hangs is ended, and all that it started."""
        self.script(
            f"echo so far; sleep 1000 & echo $! >{self.directory}/pid; sleep 1000"
        )
        run = self.runner.run(["it"])
        while not (pid := self._read("pid")):
            await deferLater(self.reactor, 0.01)

        self.clock.advance(TIME_LIMIT)

        failure = await self.assertFailure(run, ProgramFailed)
        self.assertEqual(str(failure), "it did not end within 10 s: so far")
        while os.path.exists(f"/proc/{pid}") and self._state(pid) != "Z":
            await deferLater(self.reactor, 0.01)

    def _read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text().strip() if path.exists() else ""

    def _state(self, pid: str) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return "Z"

    async def test_too_much(self) -> None:
        """One that never stops to write is ended."""
        self.patch(module, "OUTPUT_LIMIT", 100_000)
        self.script("while :; do echo and so on; done")

        failure = await self.refused("it")

        self.assertIn("it wrote more than 100000 bytes: and so on", str(failure))
        self.assertLess(len(str(failure)), WORDS_LIMIT + 100)

    async def test_cancelled(self) -> None:
        """One that is given up is ended."""
        self.script("exec sleep 1000")
        run = self.runner.run(["it"])

        run.cancel()

        await self.assertFailure(run, CancelledError)
        while self.clock.getDelayedCalls():
            await deferLater(self.reactor, 0.01)

    async def test_output_after_the_end(self) -> None:
        """Whoever holds the output open does not hold us."""
        self.script("sleep 1000 & echo $!")

        pid = await self.runner.run(["it"])

        os.kill(int(pid), signal.SIGKILL)

    async def test_several(self) -> None:
        """Several at a time do not mix."""
        self.script("cat")
        runs: list[Deferred[str]] = [
            self.runner.run(["it"], f"{number}") for number in range(5)
        ]

        self.assertEqual(await gatherResults(runs), ["0", "1", "2", "3", "4"])


class RemedyTests(SynchronousTestCase):
    """What programs say, and what is to be done about it."""

    def test_remedies(self) -> None:
        """Each of these was seen."""
        for words, remedy in (
            ("Can't initialize ipvs: Permission denied (you must be root)", "CAP_NET"),
            (
                "Can't initialize ipvs: Protocol not available\nAre you",
                "modprobe ip_vs;",
            ),
            ("Scheduler or persistence engine not found", "modprobe ip_vs_NAME"),
            (
                "netlink: Error: cache initialization failed: Operation not permitted",
                "CAP_NET_ADMIN",
            ),
            ("Could not process rule: No such file or directory", "nft_chain_nat"),
            ("Protocol not supported", "no nf_tables"),
        ):
            self.assertIn(remedy, str(failed("x", "ended with status 1", words)))

    def test_unknown(self) -> None:
        """What was never seen is repeated, and no more."""
        self.assertEqual(
            str(failed("x", "failed", " odd\nthing ")), "x failed: odd thing"
        )
        self.assertEqual(str(failed("x", "failed", "")), "x failed")
