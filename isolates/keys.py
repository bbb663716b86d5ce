# -*- test-case-name: cocained.test.test_isolates_keys -*-
"""
The arguments of the process isolate: types, bounds, defaults, descriptions.

All but the first two are ours.  Without any of them a worker is a plain child
process, and costs what that costs.
"""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from cocained.config import Invalid
from cocained.isolates.archive.members import SpoolLimits

#: Bytes.  With less, the kernel kills a worker's launcher, not the worker.
LEAST_MEMORY = 4 * 1024**2

#: Processors.  The kernel keeps no smaller share of its period.
LEAST_CPU = 0.01

#: More than any machine has, of bytes, processors and processes.
MOST_MEMORY = 2**50
MOST_CPU = 8192
MOST_PIDS = 4_194_304

#: Directories bound into a sandbox: each is a mount that each spawn makes.
MAX_BINDS = 64

#: What a worker without a network may call, unless its profile says otherwise:
#: enough for most, and nothing with which it gains anything over the node.
SERVICES = ("logging", "storage")

#: Services that one profile may name.
MAX_SERVICES = 64

#: How a limit without a limit is written.
UNLIMITED = -1

#: How ``user`` is written: names as ``useradd`` lets them be, or numbers.
USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.-]*\$?)?"

LimitName = Literal[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
]


Services = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=255)]],
    Meta(max_length=MAX_SERVICES),
]


class SandboxArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker in a sandbox may see and do."""

    network: Annotated[
        bool,
        Meta(
            description="Whether it shares the node's network; without, it reaches"
            " its app and what ``services`` lets it, and nothing else."
        ),
    ] = False
    services: Annotated[
        Services | None,
        Meta(
            description="Names of services and apps that it can call through UNIX"
            " sockets, and of no others; an empty list is none.",
            extra={"default": "``[logging, storage]``, with ``network`` none"},
        ),
    ] = None
    read_only: Annotated[
        bool,
        Meta(description="Whether the file system is read-only; ``/tmp`` never is."),
    ] = True
    binds: Annotated[
        list[str],
        Meta(
            max_length=MAX_BINDS,
            description="Absolute paths that are shared with the machine, writable"
            " unless ``:ro`` follows.",
        ),
    ] = []

    @property
    def admitted(self) -> tuple[str, ...]:
        """Services that it can call through UNIX sockets."""
        return admitted(self.services, self.network)

    def __post_init__(self) -> None:
        faults = []
        for number, bind in enumerate(self.binds):
            path = bind.removesuffix(":ro")
            if not path.startswith("/") or "\0" in path:
                faults.append((("binds", number), "must be an absolute path"))
            elif os.path.normpath(path) == "/":
                faults.append((("binds", number), "is everything; see 'read_only'"))
        if faults:
            raise Invalid(*faults)


class ProcessArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the process isolate."""

    spool: Annotated[
        str,
        Meta(
            description="Directory under which the app's code is unpacked;"
            " by default the node's paths.spool."
        ),
    ] = ""
    kill_timeout: Annotated[
        float,
        Meta(
            gt=0,
            le=3600,
            description="Seconds between SIGTERM and SIGKILL.",
        ),
    ] = 5.0
    limits: Annotated[
        SpoolLimits, Meta(description="What the app's archive may ask for.")
    ] = SpoolLimits()
    memory: Annotated[
        Annotated[int, Meta(ge=LEAST_MEMORY, le=MOST_MEMORY)] | None,
        Meta(
            description="Memory of one worker and all that it starts, swap included;"
            " beyond it the kernel kills. A cgroup limit.",
            extra={"unit": "bytes"},
        ),
    ] = None
    cpu: Annotated[
        Annotated[float, Meta(ge=LEAST_CPU, le=MOST_CPU)] | None,
        Meta(
            description="Processor time of the same; beyond it they wait."
            " A cgroup limit.",
            extra={"unit": "processors"},
        ),
    ] = None
    pids: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_PIDS)] | None,
        Meta(
            description="Processes and threads of the same, two of a sandbox"
            " included; beyond it ``fork`` fails. A cgroup limit.",
            extra={"unit": "processes"},
        ),
    ] = None
    contain: Annotated[
        bool,
        Meta(
            description="Run each worker in a cgroup of its own even without a limit,"
            " so that nothing that it starts outlives it."
        ),
    ] = False
    user: Annotated[
        str,
        Meta(
            pattern=rf"^({USER})?\Z",
            description="User, or ``user:group``, by name or number, that workers"
            " run as; the node must be root. By default the node's.",
        ),
    ] = ""
    no_new_privs: Annotated[
        bool | None,
        Meta(
            description="Whether set-uid programs and file capabilities have no"
            " effect; by default with ``user`` and in a sandbox.",
        ),
    ] = None
    rlimits: Annotated[
        dict[LimitName, int | list[int]],
        Meta(
            description="Limits of each process (``setrlimit``): a number for both,"
            " or the soft one and the hard one; ``-1`` is none.",
        ),
    ] = {}
    tmpdir: Annotated[
        Literal["shared", "private"],
        Meta(
            description="Whether ``TMPDIR`` is a directory of each worker's own,"
            " removed after it; in a sandbox ``/tmp`` always is.",
        ),
    ] = "shared"
    sandbox: Annotated[
        Literal["none", "bwrap"],
        Meta(description="Walls around a worker, by bubblewrap."),
    ] = "none"
    bwrap: Annotated[SandboxArgs, Meta(description="What the sandbox allows.")] = (
        SandboxArgs()
    )

    def __post_init__(self) -> None:
        faults: list[tuple[str | tuple[str | int, ...], str]] = []
        for name, value in self.rlimits.items():
            reason = _rlimit_fault(value)
            if reason:
                faults.append((("rlimits", name), reason))
        if self.sandbox == "bwrap" and self.no_new_privs is False:
            faults.append(("no_new_privs", "is always on in a sandbox; leave it out"))
        if self.sandbox == "none" and self.bwrap != SandboxArgs():
            faults.append(("bwrap", "has no effect without 'sandbox: bwrap'"))
        if faults:
            raise Invalid(*faults)

    @property
    def wants_group(self) -> bool:
        """Whether workers need a control group."""
        limits = (self.memory, self.cpu, self.pids)
        return self.contain or any(limit is not None for limit in limits)

    @property
    def is_plain(self) -> bool:
        """Whether workers are child processes and nothing else."""
        return not (
            self.wants_group
            or self.user
            or self.no_new_privs
            or self.rlimits
            or self.tmpdir == "private"
            or self.sandbox != "none"
        )


def admitted(services: list[str] | None, has_network: bool) -> tuple[str, ...]:
    """
    Say which services workers can call through UNIX sockets.

    :param services: what the profile says, if it does.
    :param has_network: whether they find the node by themselves.
    """
    if services is None:
        return () if has_network else SERVICES
    return tuple(services)


def soft_and_hard(value: int | list[int]) -> tuple[int, int]:
    """Give both limits of what ``rlimits`` has for one."""
    soft, hard = (value, value) if isinstance(value, int) else value
    return soft, hard


def _rlimit_fault(value: int | list[int]) -> str:
    if isinstance(value, list) and len(value) != 2:
        return "must be a number, or a list of the soft and the hard limit"
    soft, hard = soft_and_hard(value)
    if min(soft, hard) < UNLIMITED or max(soft, hard) >= 2**63:
        return "must be from -1, which is no limit, to 2^63 - 1"
    if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
        return "the soft limit must not be above the hard one"
    return ""
