# -*- test-case-name: cocained.test.test_isolates_docker_keys -*-
"""
The arguments of the docker isolate: types, bounds, defaults, descriptions.

There are ours, which are named as those of the process isolate, and those of
the original's two docker isolates (plugins.md §5.2, §5.4), so that its profiles
go on to work.  What both can say may be said once.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from cocained.config import Invalid
from cocained.docker import DEFAULT_ADDRESS, RegistryAuth, parse_address
from cocained.docker.errors import InvalidAddress
from cocained.isolates.docker.binds import parse_bind
from cocained.isolates.keys import (
    LEAST_CPU,
    MOST_CPU,
    MOST_MEMORY,
    MOST_PIDS,
    UNLIMITED,
    USER,
    LimitName,
    Services,
    admitted,
    soft_and_hard,
)

#: Bytes.  Engines refuse to limit a container to less.
LEAST_MEMORY = 6 * 1024**2

#: Processes and threads unless the profile says otherwise: far more than a
#: worker has, far fewer than a machine can stand.
PIDS = 512

#: Entries of one list or map: each becomes a mount or an argument of runc.
MAX_ENTRIES = 64

#: How the original writes Docker's own registry.
DEFAULT_REGISTRY = "<default>"

#: Where the socket of the app is inside of a container.
RUNTIME_PATH = "/run/cocaine"

#: The directory in there that has those of services.
DOOR = "services"

#: Our own labels, of which no profile can have the like.
RESERVED = "cocained."

#: Weights and microseconds that the kernel takes.
MOST_SHARES = 262_144
LEAST_PERIOD, MOST_PERIOD = 1_000, 1_000_000

Path = Annotated[str, Meta(pattern=r"^/[^\0]*\Z")]
Limit = Annotated[int, Meta(ge=UNLIMITED, le=2**63 - 1)]
Limits = Annotated[list[Limit], Meta(min_length=2, max_length=2)]
Memory = Annotated[int, Meta(ge=0, le=MOST_MEMORY)]
Swap = Annotated[int, Meta(ge=UNLIMITED, le=MOST_MEMORY)]
Shares = Annotated[int, Meta(ge=0, le=MOST_SHARES)]
CPUs = Annotated[str, Meta(pattern=r"^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?\Z")]
Capability = Annotated[str, Meta(pattern=r"^[A-Z][A-Z_]{1,40}\Z")]

Fault = tuple[str | tuple[str | int, ...], str]


class ResourceArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``resources`` of the original; 0 and ``""`` ask for nothing."""

    memory: Annotated[
        Memory, Meta(description="See ``memory``.", extra={"unit": "bytes"})
    ] = 0
    cpu_shares: Annotated[Shares, Meta(description="See ``cpu_shares``.")] = field(
        name="CpuShares", default=0
    )
    cpu_period: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_PERIOD,
            description="Time in which ``CpuQuota`` is kept.",
            extra={"unit": "microseconds"},
        ),
    ] = field(name="CpuPeriod", default=0)
    cpu_quota: Annotated[
        int,
        Meta(
            ge=0,
            le=MOST_CPU * MOST_PERIOD,
            description="Processor time in each ``CpuPeriod``; see ``cpu``.",
            extra={"unit": "microseconds"},
        ),
    ] = field(name="CpuQuota", default=0)
    cpuset_cpus: Annotated[
        CPUs, Meta(description="Processors to run on, such as ``0-2,4``.")
    ] = field(name="CpusetCpus", default="")
    cpuset_mems: Annotated[CPUs, Meta(description="Memory nodes, likewise.")] = field(
        name="CpusetMems", default=""
    )


class DockerArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of the docker isolate."""

    endpoint: Annotated[
        str,
        Meta(
            description="Where the engine listens, ``unix:///path`` or"
            " ``tcp://host:port``; it must run on this machine."
        ),
    ] = DEFAULT_ADDRESS
    registry: Annotated[
        str | None,
        Meta(
            description="Host and port of the registry to pull from; ``<default>`` is"
            " Docker's own. Without it the engine must have the image."
        ),
    ] = None
    repository: Annotated[
        str, Meta(description="Path in front of the image's name.")
    ] = ""
    image: Annotated[
        str,
        Meta(
            description="Name of the image, perhaps with ``:tag`` or"
            " ``@sha256:digest``; by default the app's name, tag ``latest``."
        ),
    ] = ""
    pull: Annotated[
        Literal["always", "missing", "never"] | None,
        Meta(
            description="Ask the registry at each start of the app (``always``), or"
            " only for an image that the engine does not have (``missing``), or never."
            " By default ``always`` with a registry. A digest is never pulled twice."
        ),
    ] = None
    auth: Annotated[
        RegistryAuth | None, Meta(description="Credentials for the registry.")
    ] = None
    memory: Annotated[
        Annotated[int, Meta(ge=LEAST_MEMORY, le=MOST_MEMORY)] | None,
        Meta(
            description="Memory of one worker and all that it starts; beyond it the"
            " kernel kills.",
            extra={"unit": "bytes"},
        ),
    ] = None
    memory_limit: Annotated[
        Memory,
        Meta(description="The original's ``memory``.", extra={"unit": "bytes"}),
    ] = 0
    memory_swap: Annotated[
        Swap,
        Meta(
            description="Memory and swap together, ``-1`` for any; by default as much"
            " as ``memory``, which is no swap.",
            extra={"unit": "bytes"},
        ),
    ] = 0
    cpu: Annotated[
        Annotated[float, Meta(ge=LEAST_CPU, le=MOST_CPU)] | None,
        Meta(
            description="Processor time of the same; beyond it they wait.",
            extra={"unit": "processors"},
        ),
    ] = None
    cpu_shares: Annotated[
        Shares,
        Meta(description="Weight among those that compete for processors; 0 is 1024."),
    ] = 0
    pids: Annotated[
        int,
        Meta(
            ge=1,
            le=MOST_PIDS,
            description="Processes and threads of the same; beyond it ``fork`` fails.",
            extra={"unit": "processes"},
        ),
    ] = PIDS
    resources: Annotated[
        ResourceArgs, Meta(description="Limits as the original's daemon has them.")
    ] = ResourceArgs()
    ulimits: Annotated[
        dict[LimitName, Limit | Limits],
        Meta(
            description="Limits of each process (``setrlimit``): a number for both,"
            " or the soft one and the hard one; ``-1`` is none."
        ),
    ] = {}
    network_mode: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}\Z",
            description="``none``, with which the worker reaches its app and what"
            " ``services`` lets it; ``host``, ``bridge``, or the name of a network.",
        ),
    ] = "none"
    services: Annotated[
        Services | None,
        Meta(
            description="Names of services and apps that it can call through UNIX"
            " sockets, and of no others; an empty list is none.",
            extra={"default": "``[logging, storage]``, with a network none"},
        ),
    ] = None
    user: Annotated[
        str,
        Meta(
            pattern=rf"^({USER})?\Z",
            description="User, or ``user:group``, by name in the image or number; by"
            " default the image's.",
        ),
    ] = ""
    capabilities: Annotated[
        list[Capability],
        Meta(
            max_length=MAX_ENTRIES,
            description="Capabilities to have, such as ``NET_BIND_SERVICE``; all"
            " others are dropped.",
        ),
    ] = []
    no_new_privs: Annotated[
        bool,
        Meta(
            description="Whether set-uid programs and file capabilities have no effect."
        ),
    ] = True
    init: Annotated[
        bool,
        Meta(
            description="Whether the first process is the engine's init, which passes"
            " signals on and collects orphans."
        ),
    ] = True
    read_only: Annotated[
        bool,
        Meta(
            description="Whether the file system is read-only, but for a ``/tmp`` in"
            " memory."
        ),
    ] = False
    tmpfs: Annotated[
        dict[Path, str],
        Meta(
            max_length=MAX_ENTRIES,
            description="Directories in memory and their options, such as"
            ' ``{"/tmp": "size=64m"}``.',
        ),
    ] = {}
    binds: Annotated[
        list[str],
        Meta(
            max_length=MAX_ENTRIES,
            description="Directories and files of the machine, or volumes of the"
            " engine, as ``source:target``, writable unless ``:ro`` follows.",
        ),
    ] = []
    labels: Annotated[
        dict[str, str],
        Meta(max_length=MAX_ENTRIES, description="Labels of the containers."),
    ] = {}
    cwd: Annotated[
        str,
        Meta(
            pattern=r"^(/[^\0]*)?\Z",
            description="Directory that workers start in; by default the image's.",
        ),
    ] = ""
    runtime_path: Annotated[
        Path,
        Meta(
            description="Directory inside that has the app's socket, and ``services``."
        ),
    ] = field(name="runtime-path", default=RUNTIME_PATH)
    kill_timeout: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds between SIGTERM and SIGKILL.")
    ] = 5.0

    def __post_init__(self) -> None:
        faults = [*self._image_faults(), *self._limit_faults(), *self._inner_faults()]
        if faults:
            raise Invalid(*faults)

    @property
    def policy(self) -> Literal["always", "missing", "never"]:
        """When to pull."""
        return self.pull or ("never" if self.registry is None else "always")

    @property
    def admitted(self) -> tuple[str, ...]:
        """Services that workers can call through UNIX sockets."""
        return admitted(self.services, self.network_mode != "none")

    @property
    def door_path(self) -> str:
        """Where these sockets are inside."""
        return posixpath.join(self.runtime_path, DOOR)

    @property
    def memory_bytes(self) -> int | None:
        """The limit of memory, however it is written."""
        return self.memory or self.memory_limit or self.resources.memory or None

    @property
    def swap_bytes(self) -> int | None:
        """The limit of memory and swap together."""
        return self.memory_swap or self.memory_bytes

    @property
    def shares(self) -> int:
        """The weight, however it is written."""
        return self.cpu_shares or self.resources.cpu_shares

    def _image_faults(self) -> Iterator[Fault]:
        try:
            parse_address(self.endpoint)
        except InvalidAddress as error:
            yield "endpoint", error.reason
        if self.registry == "":
            yield "registry", f"is empty; leave it out, or write {DEFAULT_REGISTRY!r}"
        if self.registry is None and self.pull in ("always", "missing"):
            yield "pull", f"needs a registry; {DEFAULT_REGISTRY!r} is Docker's own"
        if self.registry is None and self.auth is not None:
            yield "auth", "has no effect without 'registry'"

    def _limit_faults(self) -> Iterator[Fault]:
        resources = self.resources
        yield from _said_once(
            memory=self.memory,
            memory_limit=self.memory_limit,
            resources__memory=resources.memory,
        )
        yield from _said_once(
            cpu_shares=self.cpu_shares, resources__CpuShares=resources.cpu_shares
        )
        yield from _said_once(cpu=self.cpu, resources__CpuQuota=resources.cpu_quota)
        memory, swap = self.memory_bytes, self.memory_swap
        if memory is not None and memory < LEAST_MEMORY:
            key = "memory_limit" if self.memory_limit else ("resources", "memory")
            yield key, f"must be at least {LEAST_MEMORY}, or 0 for no limit"
        if swap and memory is None:
            yield "memory_swap", "needs 'memory'"
        elif memory is not None and 0 < swap < memory:
            yield "memory_swap", "counts memory, too: it must not be less than that"
        if resources.cpu_period and not resources.cpu_quota:
            yield ("resources", "CpuPeriod"), "has no effect without 'CpuQuota'"
        if 0 < resources.cpu_period < LEAST_PERIOD:
            yield ("resources", "CpuPeriod"), f"must be at least {LEAST_PERIOD}"
        if 0 < resources.cpu_quota < LEAST_PERIOD:
            yield ("resources", "CpuQuota"), f"must be at least {LEAST_PERIOD}"
        for name, value in self.ulimits.items():
            soft, hard = soft_and_hard(value)
            if hard != UNLIMITED and (soft == UNLIMITED or soft > hard):
                yield ("ulimits", name), "the soft limit must not be above the hard one"

    def _inner_faults(self) -> Iterator[Fault]:
        taken = {posixpath.normpath(self.runtime_path): "'runtime-path'"}
        if "/" in taken:
            yield "runtime-path", "must be a directory below /"
        taken[posixpath.normpath(self.door_path)] = "'services'"
        for path in self.tmpfs:
            yield from _once(("tmpfs", path), path, taken)
        for number, text in enumerate(self.binds):
            try:
                target = parse_bind(text).target
            except ValueError as error:
                yield ("binds", number), str(error)
            else:
                yield from _once(("binds", number), target, taken)
        for name in self.labels:
            if name.startswith(RESERVED) or not name:
                yield ("labels", name), f"is reserved: names with {RESERVED!r} are ours"


def _said_once(**values: float | None) -> Iterator[Fault]:
    """Complain of keys that say the same thing; ``a__b`` is ``a.b``."""
    said = [key.replace("__", ".") for key, value in values.items() if value]
    for key in said[1:]:
        yield tuple(key.split(".")), f"says the same as {said[0]!r}; leave one of them"


def _once(
    place: tuple[str | int, ...], path: str, taken: dict[str, str]
) -> Iterator[Fault]:
    """Complain of a path inside on which something else is mounted."""
    path = posixpath.normpath(path)
    if path in taken:
        yield place, f"{path} is taken by {taken[path]}"
    elif path == "/":
        yield place, "must be a directory below /"
    taken[path] = repr(place[0])
