# -*- test-case-name: cocained.test.test_isolates_launch -*-
"""
The command line that puts a worker behind its limits before its code runs.

Each step is a small program of the system that does one thing and becomes the
next::

    sh        joins the control groups
    prlimit   sets resource limits
    bwrap     builds the sandbox, and stays as the parent of what follows
    setpriv   becomes the user, gives up new privileges
    program   the app's

What nobody asked for is left out; with nothing asked for the program is alone.
``docs/decisions/0008`` says why not in the child between ``fork`` and ``exec``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: Programs that are looked for, and the Debian package that has them.
PACKAGES = {
    "sh": "dash",
    "prlimit": "util-linux",
    "setpriv": "util-linux",
    "bwrap": "bubblewrap",
}

#: Writing 0 moves whoever writes it, and ``echo`` is part of the shell.
JOIN = (
    'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; exec "$@"'
)

#: Where services put their sockets, the container engine among them: those
#: open doors through walls of files.
SOCKETS = "/run"

#: Name servers of a machine with systemd-resolved; it is in there.
RESOLVER = "/run/systemd/resolve"


@dataclass(frozen=True, slots=True)
class Identity:
    """
    Who a worker is.

    :ivar uid: number of the user.
    :ivar gid: number of the only group.
    :ivar name: of the user, ``""`` if it has none.
    :ivar home: its directory, likewise.
    """

    uid: int
    gid: int
    name: str = ""
    home: str = ""

    def environment(self) -> dict[str, str]:
        """Give the variables that programs expect of their user."""
        found = {"HOME": self.home or "/"}
        if self.name:
            found |= {"USER": self.name, "LOGNAME": self.name}
        return found


@dataclass(frozen=True, slots=True)
class Sandbox:
    """
    What is seen inside.

    :ivar code: directory of the app, read-only and where the worker runs.
    :ivar hidden: directories that look empty inside.
    :ivar sockets: what is to be reached in them all the same, or directories of it.
    :ivar binds: path and whether it is read-only.
    :ivar network: whether the machine's network is.
    :ivar read_only: whether the rest of the file system is.
    """

    code: str
    hidden: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    binds: tuple[tuple[str, bool], ...] = ()
    network: bool = False
    read_only: bool = True

    def options(self, changes_user: bool) -> list[str]:
        """Write them as bubblewrap has them; later ones cover earlier ones."""
        found = ["--ro-bind" if self.read_only else "--bind", "/", "/"]
        found += ["--dev", "/dev", "--proc", "/proc"]
        covers: list[str] = []
        for path in ("/tmp", SOCKETS, *self.hidden):
            found += _parents(path, covers)
            if path == "/tmp":
                found += ["--perms", "1777"]
            found += ["--tmpfs", path]
            covers.append(path)
        if self.network:
            found += ["--ro-bind-try", RESOLVER, RESOLVER]
        shared = [(self.code, True), *((path, True) for path in self.sockets)]
        for path, read_only in (*self.binds, *shared):
            found += _parents(path, covers)
            found += ["--ro-bind" if read_only else "--bind", path, path]
        found += ["--chdir", self.code]
        found += ["--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        if not self.network:
            found.append("--unshare-net")
        found += ["--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL"]
        if changes_user:
            for capability in ("CAP_SETUID", "CAP_SETGID"):
                found += ["--cap-add", capability]
        return found


def command_line(
    program: Sequence[str],
    tools: Mapping[str, str],
    entrances: Iterable[str] = (),
    rlimits: Mapping[str, tuple[int, int]] | None = None,
    sandbox: Sandbox | None = None,
    user: Identity | None = None,
    no_new_privs: bool = False,
) -> list[str]:
    """
    Say what to run instead of *program*.

    :param program: the app's, with its arguments.
    :param tools: paths of those of :data:`PACKAGES` that are needed.
    :param entrances: ``cgroup.procs`` of the groups to join.
    :param rlimits: soft and hard by name; -1 is no limit.
    :param sandbox: what it sees, if there is one.
    :param user: who it becomes.
    :param no_new_privs: whether set-uid programs are to have no effect; in a
        sandbox they have none.
    """
    command: list[str] = []
    entrances = list(entrances)
    if entrances:
        command += [tools["sh"], "-c", JOIN, "cocained-launch", *entrances, "--"]
    if rlimits:
        command.append(tools["prlimit"])
        for name, (soft, hard) in sorted(rlimits.items()):
            command.append(f"--{name}={_limit(soft)}:{_limit(hard)}")
        command.append("--")
    if sandbox is not None:
        command += [tools["bwrap"], *sandbox.options(user is not None), "--"]
    if user is not None or (no_new_privs and sandbox is None):
        command.append(tools["setpriv"])
        if user is not None:
            command += [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"]
            command.append("--inh-caps=-all")
        if no_new_privs:
            command.append("--no-new-privs")
        command.append("--")
    return [*command, *program]


def _parents(path: str, covers: Sequence[str]) -> list[str]:
    """Make the directories that lead to *path* where it has been covered."""
    found = []
    parent = path.rpartition("/")[0]
    while any(parent.startswith(f"{cover}/") for cover in covers):
        # Those that bubblewrap makes by itself only root may enter.
        found.append(["--dir", parent])
        parent = parent.rpartition("/")[0]
    return [word for pair in reversed(found) for word in pair]


def _limit(number: int) -> str:
    return "unlimited" if number < 0 else str(number)
