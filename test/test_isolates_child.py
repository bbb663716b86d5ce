# -*- test-case-name: cocained.test.test_isolates_child -*-
"""
Children: how they end, what they print, what they inherit.
"""

from __future__ import annotations

import os
import signal

from twisted.internet.defer import (
    gatherResults,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from cocained.interfaces import IWorkerHandle, IWorkerObserver
from cocained.status import exit_reason
from cocained.test.process_case import Grave, Observer, _ChildCase, descriptors


class EndTests(_ChildCase):
    """How children end, and what is said of it."""

    async def test_interfaces(self) -> None:
        """A child is a worker's handle; the test's observer is one."""
        child, observer = self.spawn(self.script("exit 0"))
        await observer.when_ended()

        self.assertTrue(verifyObject(IWorkerHandle, child))
        self.assertTrue(verifyObject(IWorkerObserver, observer))

    async def test_statuses(self) -> None:
        """Status 0 is in order, all others are not."""
        for status in (0, 1, 3, 255):
            _, observer = self.spawn(self.script(f"exit {status}"))
            await observer.when_ended()

            self.assertEqual(
                observer.ends, [(f"exited with status {status}", status != 0)]
            )

    async def test_signals(self) -> None:
        """A child that a signal ended is named with the signal."""
        for name in ("KILL", "TERM", "SEGV"):
            _, observer = self.spawn(self.script(f"kill -{name} $$"))
            await observer.when_ended()

            self.assertEqual(observer.ends, [(f"was killed by SIG{name}", True)])

    def test_unknown_signal(self) -> None:
        """A signal without a name has its number."""
        self.assertEqual(exit_reason(-999), ("was killed by signal 999", True))

    async def test_nothing_is_left(self) -> None:
        """After its end there is no descriptor, no zombie and no timer."""
        # The reactor opens some of its own when it runs for the first time.
        await self.spawn(self.script("exit 0"))[1].when_ended()
        before = descriptors()
        child, observer = self.spawn(self.script("echo hello"))
        await observer.when_ended()

        self.assertEqual(descriptors(), before)
        self.assertEqual(self.children(), [])
        child.terminate()
        child.kill()
        child.terminate()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(len(observer.ends), 1)

    async def test_identity(self) -> None:
        """People find a worker by its process id."""
        child, observer = self.spawn(self.script("echo process $$"))
        await observer.when_ended()

        self.assertEqual(child.identity, observer.data.decode().strip())

    async def test_many_at_once(self) -> None:
        """Children that end together are told apart."""
        script = self.script('echo "$1"; exit "$1"')
        observers = [self.spawn(script, str(number))[1] for number in range(10)]
        await gatherResults([observer.when_ended() for observer in observers])

        for number, observer in enumerate(observers):
            self.assertEqual(observer.data, b"%d\n" % number)
            self.assertEqual(observer.ends[0][0], f"exited with status {number}")


class OutputTests(_ChildCase):
    """What children print."""

    async def test_complete(self) -> None:
        """All that was printed arrives, although the child exits at once."""
        _, observer = self.spawn(
            self.script("head -c 300000 /dev/zero", "echo last", "exit 1")
        )
        await observer.when_ended()

        self.assertEqual(len(observer.data), 300005)
        self.assertTrue(observer.data.endswith(b"last\n"))

    async def test_last_words(self) -> None:
        """What is in the pipe when the child has ended is read all the same."""
        child, observer = self.spawn(self.script("head -c 60000 /dev/zero; echo last"))
        # As if the end were seen before the output.
        child._output.stopReading()

        await observer.when_ended()

        self.assertEqual(len(observer.data), 60005)

    async def test_endless_last_words(self) -> None:
        """A daemon that prints without end does not hold the node up."""
        _, observer = self.spawn(
            self.script("setsid yes &", "sleep 0.05", "exit 0"),
        )

        await observer.when_ended()

        self.assertEqual(observer.ends, [("exited with status 0", False)])

    async def test_both_outputs(self) -> None:
        """Standard output and error are one, in the order of writing."""
        _, observer = self.spawn(self.script("echo a", "echo b >&2", "echo c"))
        await observer.when_ended()

        self.assertEqual(observer.data, b"a\nb\nc\n")

    async def test_no_input(self) -> None:
        """There is nothing to read for a child."""
        _, observer = self.spawn(self.script('read line || echo "nothing"'))
        await observer.when_ended()

        self.assertEqual(observer.data, b"nothing\n")

    async def test_while_it_runs(self) -> None:
        """Output arrives before the end."""
        child, observer = self.spawn(self.script("echo ready", "exec sleep 1000"))
        await observer.when_printed(b"ready\n")

        self.assertEqual(observer.ends, [])
        child.kill()
        await observer.when_ended()

    async def test_closed_output(self) -> None:
        """A child that closes its output lives on."""
        _, observer = self.spawn(self.script("exec >&- 2>&-", "sleep 0.05", "exit 7"))
        await observer.when_ended()

        self.assertEqual(observer.ends, [("exited with status 7", True)])

    async def test_grandchild_keeps_the_pipe(self) -> None:
        """A daemon that holds the pipe does not delay the end."""
        script = self.script(
            "setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 1000' &",
            "while [ ! -e pid ]; do sleep 0.01; done",
            "echo last",
        )
        _, observer = self.spawn(script)
        await observer.when_ended()

        with open(os.path.join(self.directory, "pid")) as file:
            daemon = Grave(int(file.read()))
        self.assertFalse(daemon.done.called)
        os.kill(daemon.pid, signal.SIGKILL)
        await daemon.done
        self.assertEqual(observer.data, b"last\n")
        self.assertEqual(observer.ends, [("exited with status 0", False)])


class InheritanceTests(_ChildCase):
    """What a child gets."""

    async def test_descriptors(self) -> None:
        """Nothing of the node's descriptors, not even those marked for it."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        os.set_inheritable(reading, True)
        os.set_inheritable(writing, True)
        _, observer = self.spawn("/bin/ls", "-l", "/proc/self/fd")
        await observer.when_ended()

        listed = [line.split()[8:] for line in observer.data.decode().splitlines()]
        numbers = [int(line[0]) for line in listed if line]
        # The last one is the directory that is listed.
        self.assertEqual(numbers, [0, 1, 2, 3])
        self.assertIn("/dev/null", observer.data.decode())

    async def test_environment(self) -> None:
        """The environment is what was given, and no more."""
        _, observer = self.spawn(
            "/usr/bin/env", environment={"A": "1", "B": "x y=z", "C": ""}
        )
        await observer.when_ended()

        self.assertEqual(
            sorted(observer.data.split(b"\n")), [b"", b"A=1", b"B=x y=z", b"C="]
        )

    async def test_directory(self) -> None:
        """It runs where it was told to."""
        _, observer = self.spawn(self.script("pwd -P"))
        await observer.when_ended()

        self.assertEqual(
            observer.data.decode().strip(), os.path.realpath(self.directory)
        )

    async def test_signals_are_reset(self) -> None:
        """Signals that Python ignores are not ignored in the child."""
        _, observer = self.spawn(self.script("kill -PIPE $$", "echo survived"))
        await observer.when_ended()

        self.assertEqual(observer.ends, [("was killed by SIGPIPE", True)])


class ObserverDoubleTests(SynchronousTestCase):
    """The test's own observer."""

    def test_output_after_the_end(self) -> None:
        """It would notice output that comes after the end."""
        observer = Observer()
        observer.exited("x", False)

        self.assertRaises(AssertionError, observer.output, b"late")
