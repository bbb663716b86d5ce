# -*- test-case-name: cocained.test.test_isolates_confinement -*-
"""
The walls around the workers of one app: checked once, then built for each.
"""

from __future__ import annotations

import errno
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from twisted.logger import Logger

from cocained.errors import SpawnError, SpoolError
from cocained.isolates import checks
from cocained.isolates.cells import Cell, Walls
from cocained.isolates.cgroups import Group, Limits
from cocained.isolates.grounds import Ground, sweep
from cocained.isolates.hierarchies import Hierarchy, discover
from cocained.isolates.keys import ProcessArgs
from cocained.isolates.launch import Identity, Sandbox, command_line
from cocained.isolates.temporary import Temporaries, remove

log = Logger()

#: Seconds that the trial launch may take; it takes hundredths.
PROBE_TIMEOUT = 10.0

#: Seconds between two looks at whether it has gone.
PROBE_INTERVAL = 0.002

#: Seconds in which init collects what workers have left; the next start of an
#: app with groups removes what takes longer.
GRAVE_TIMEOUT = 5.0

#: Bytes of its complaint that are repeated.
COMPLAINT = 300

#: What is launched to see whether launching works: it looks at what workers
#: must reach, with their eyes.
PROBE = (
    'cd "$1" || exit 1; [ -x "$2" ] && exit 0; echo "$2 cannot be entered" >&2; exit 1'
)


@dataclass(frozen=True, slots=True)
class Launched:
    """
    What to run for one worker.

    :ivar command: instead of the program alone.
    :ivar environment: variables that come with the walls.
    :ivar cell: what to ask about the process.
    """

    command: list[str]
    environment: Mapping[str, str]
    cell: Cell


class Confinement:
    """
    What one app's workers are confined to.

    :param args: what was asked for, something at least.
    :param app: its name.
    :param node: uuid of the node.
    :param runtime: directory of the workers' sockets.
    :param in_thread: runs a function in a thread and logs what it raises.
    """

    #: Finds the control groups of this machine.
    discover: Callable[[], Sequence[Hierarchy]] = staticmethod(discover)

    def __init__(
        self,
        args: ProcessArgs,
        app: str,
        node: str,
        runtime: str,
        in_thread: Callable[..., object],
    ) -> None:
        self._args = args
        self._app = app
        self._node = node
        self._runtime = runtime
        self._in_thread = in_thread
        self._limits = Limits(args.memory, args.cpu, args.pids)
        self._tools: Mapping[str, str] = {}
        self._rlimits: Mapping[str, tuple[int, int]] = {}
        self._user: Identity | None = None
        self._binds: tuple[tuple[str, bool], ...] = ()
        self._ground: Ground | None = None
        self._temporaries: Temporaries | None = None
        # Groups of which zombies remain: whoever inherited them is slow.
        self._graves: list[Group] = []
        # A stop does not wait for the spooling that it cancels.
        self._lock = threading.Lock()
        self._is_closed = False

    # Before the first worker

    def prepare(self, directory: str) -> None:
        """
        See that everything can be had, and launch something to prove it.

        Runs in a thread.  What it leaves goes away with :meth:`close`.

        :param directory: the unpacked code.
        :raises SpoolError: something cannot be had on this machine; names the
            argument, the reason and the remedy.
        """
        with self._lock:
            if self._is_closed:
                raise SpoolError("the app has been stopped", errno.ECANCELED)
            self._prepare(directory)

    def _prepare(self, directory: str) -> None:
        args = self._args
        self._tools = checks.find_tools(checks.needed_tools(args))
        if args.user:
            self._user = checks.identify(args.user, os.geteuid())
        self._rlimits = checks.check_rlimits(args.rlimits, checks.may_raise())
        self._binds = checks.check_binds(args.bwrap.binds)
        if args.wants_group:
            self._open_ground()
        if args.tmpdir == "private" and args.sandbox == "none":
            self._open_temporaries(os.path.dirname(directory))
        self._probe(directory)

    def _open_ground(self) -> None:
        hierarchies = self.discover()
        for told in sweep(hierarchies):
            log.info("leftovers of another node: {told}", told=told)
        self._ground = Ground(hierarchies, self._node, self._app)
        self._ground.open(self._limits)

    def _open_temporaries(self, directory: str) -> None:
        self._temporaries = Temporaries(directory)
        try:
            for path in self._temporaries.open():
                log.info("removed {path}, of a node that is gone", path=path)
        except OSError as error:
            raise checks.refused(
                "tmpdir",
                f"cannot make a directory in {directory}: {error.strerror}; let the"
                " node's user write there",
                error.errno or errno.EINVAL,
            ) from error

    def _probe(self, directory: str) -> None:
        program = ["/bin/sh", "-c", PROBE, "probe", directory, self._runtime]
        try:
            launched = self.launch(program, directory)
        except SpawnError as error:
            raise SpoolError(error.reason, error.code) from error
        try:
            subprocess.run(
                launched.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=PROBE_TIMEOUT,
                check=True,
                cwd=directory,
                start_new_session=True,
            )
        except subprocess.SubprocessError as error:
            raise self._unusable(error) from error
        finally:
            _settle(launched.cell)

    def _unusable(self, error: subprocess.SubprocessError) -> SpoolError:
        said = getattr(error, "stderr", None) or b""
        text = said.decode("utf-8", "replace").strip()[-COMPLAINT:] or str(error)
        asked = [
            key
            for key in ("sandbox", "user", "rlimits", "memory", "pids", "no_new_privs")
            if getattr(self._args, key) not in ("", "none", None, {})
        ]
        remedy = "let them be entered by all (chmod o+x), directories above too"
        if self._args.sandbox != "none":
            remedy = (
                "bubblewrap needs root or user namespaces"
                " (sysctl kernel.unprivileged_userns_clone); " + remedy
            )
        return checks.refused(
            ", ".join(asked) or "contain",
            f"nothing can be launched with it: {text!a}; if it names"
            f" directories, {remedy}",
            errno.EPERM,
        )

    # For each worker

    @property
    def uid(self) -> int:
        """Number of the workers' user, -1 for the node's own."""
        return -1 if self._user is None else self._user.uid

    def launch(
        self,
        program: Sequence[str],
        directory: str,
        endpoint: str | None = None,
        door: str | None = None,
    ) -> Launched:
        """
        Build the walls of one worker.

        :param program: the app's, with its arguments.
        :param directory: the unpacked code.
        :param endpoint: socket that the worker must reach.
        :param door: directory of others that it may.
        :raises SpawnError: the machine refuses; nothing is left then.
        """
        self._dig()
        name = secrets.token_hex(8)
        group = None if self._ground is None else self._ground.group(name)
        temporary: str | None = None
        environment: dict[str, str] = {}
        try:
            if endpoint is not None and self._user is not None:
                # It is its owner's alone; root reaches it all the same.
                os.chown(endpoint, self._user.uid, -1)
            if self._temporaries is not None:
                uid = None if self._user is None else self._user.uid
                temporary = self._temporaries.make(name, uid)
                environment["TMPDIR"] = temporary
            if group is not None:
                group.create(self._limits)
        except OSError as error:
            self._forget(temporary)
            code = error.errno or errno.EINVAL
            raise SpawnError(
                f"cannot confine a worker: {error.filename}: {os.strerror(code)}", code
            ) from error
        if self._user is not None:
            environment |= self._user.environment()
        sandbox = None
        if self._args.sandbox != "none":
            sandbox = self._sandbox(directory, endpoint, door)
            environment["TMPDIR"] = "/tmp"
        command = command_line(
            program,
            self._tools,
            () if group is None else group.entrances(),
            self._rlimits,
            sandbox,
            self._user,
            self._no_new_privs,
        )
        cell = Walls(
            group,
            self._args.memory,
            sandbox is not None,
            lambda: self._forget(temporary),
            self._graves.append,
        )
        return Launched(command, environment, cell)

    @property
    def _no_new_privs(self) -> bool:
        wanted = self._args.no_new_privs
        return self._user is not None if wanted is None else wanted

    def _sandbox(
        self, directory: str, endpoint: str | None, door: str | None
    ) -> Sandbox:
        options = self._args.bwrap
        return Sandbox(
            code=directory,
            hidden=(self._runtime,),
            sockets=tuple(path for path in (endpoint, door) if path is not None),
            binds=self._binds,
            network=options.network,
            read_only=options.read_only,
        )

    def _forget(self, temporary: str | None) -> None:
        if temporary is not None:
            self._in_thread(remove, temporary)

    def _dig(self) -> bool:
        """Remove groups that could not be before; say whether some are left."""
        self._graves[:] = [group for group in self._graves if not group.remove()]
        return bool(self._graves)

    # The end

    def close(self) -> None:
        """Let go of everything; runs in a thread, when no worker is left."""
        with self._lock:
            self._is_closed = True
            deadline = time.monotonic() + GRAVE_TIMEOUT
            while self._dig() and time.monotonic() < deadline:
                time.sleep(PROBE_INTERVAL)
            if self._ground is not None:
                self._ground.close()
            if self._temporaries is not None:
                self._temporaries.close()


def _settle(cell: Cell) -> None:
    """Wait until nothing of a trial launch is left; blocks."""
    deadline = time.monotonic() + PROBE_TIMEOUT
    while not cell.clear() and time.monotonic() < deadline:
        time.sleep(PROBE_INTERVAL)
