# -*- test-case-name: cocained.test.live.test_lab -*-
"""
Network namespaces: made, entered, emptied, removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocained.testing.programs import LabError

#: Where the system keeps namespaces that have names (ip-netns(8)).
NAMES = Path("/run/netns")

#: Linux (linux/sched.h): a namespace of the network; Python has it since 3.12.
CLONE_NEWNET = 0x40000000

#: Seconds that a command may take; each is done in milliseconds.
COMMAND_TIMEOUT = 30.0

#: Seconds until killed processes are gone.
KILL_TIMEOUT = 10.0

#: Seconds between two looks at them.
POLL = 0.01

_libc = ctypes.CDLL(None, use_errno=True)


def run(command: Sequence[str], text: str = "") -> str:
    """
    Run a command of the system.

    :param text: for its standard input.
    :returns: what it printed.
    :raises LabError: it failed; says what it said.
    """
    try:
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or "it did not say why"
        raise LabError(f"{' '.join(command)} ended with {done.returncode}: {said}")
    return done.stdout


class Namespace:
    """
    One namespace, with its loopback interface up.

    :param name: for ``ip netns``.
    :raises LabError: it cannot be made.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        run(["ip", "netns", "add", name])
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.remove()
            raise

    def ip(self, *arguments: str) -> None:
        """Run ``ip`` about what is in here."""
        run(["ip", "-n", self.name, *arguments])

    def command(self, command: Sequence[str]) -> list[str]:
        """
        Give *command* as it is run in here.

        Not by ``ip netns exec``, which hides control groups from it.
        """
        return ["nsenter", f"--net={NAMES / self.name}", "--", *command]

    def set(self, key: str, value: str) -> None:
        """Change a setting of the kernel for this namespace, if it knows it."""
        path = Path("/proc/sys/net") / key
        with self.inside(), contextlib.suppress(FileNotFoundError):
            path.write_text(value)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """
        Have the sockets that this thread makes in the block belong to here.

        They stay here when the block is over.

        :raises LabError: the thread may not enter.
        """
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            enter(self.name)
            try:
                yield
            finally:
                _set(own, "its own namespace")
        finally:
            os.close(own)

    def processes(self) -> list[int]:
        """Find the processes that run in here, without this one."""
        found = map(int, run(["ip", "netns", "pids", self.name]).split())
        return [pid for pid in found if pid != os.getpid()]

    def empty(self) -> None:
        """
        Kill whatever runs in here.

        :raises LabError: something does not end.
        """
        until = time.monotonic() + KILL_TIMEOUT
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise LabError(f"processes {pids} do not end, killed as they are")
            time.sleep(POLL)

    def remove(self) -> None:
        """Remove it, and the interfaces in it."""
        run(["ip", "netns", "del", self.name])


def enter(name: str) -> None:
    """
    Move this thread into a namespace.

    :raises LabError: it may not.
    """
    try:
        descriptor = os.open(NAMES / name, os.O_RDONLY)
    except OSError as error:
        raise LabError(f"no namespace {name}: {error}") from error
    try:
        _set(descriptor, name)
    finally:
        os.close(descriptor)


def _set(descriptor: int, name: str) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        text = os.strerror(ctypes.get_errno())
        raise LabError(f"cannot enter {name}: {text}; that needs CAP_SYS_ADMIN")
