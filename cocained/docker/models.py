# -*- test-case-name: cocained.test.test_docker_models -*-
"""
What engines answer, as far as anybody here reads it; pure.

Unknown fields are passed over and absent ones have defaults, since engines of
ten years answer, and Podman.  What is there must be of the right type.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import field

from cocained.docker.errors import MalformedStream

T = TypeVar("T")


class Version(msgspec.Struct, frozen=True, rename="pascal"):
    """Who an engine is, and which versions of the API it speaks."""

    version: str = ""
    api_version: str = ""
    #: Absent before 1.24, and so the oldest that we speak with.
    min_api_version: str = field(name="MinAPIVersion", default="")
    os: str = ""
    arch: str = ""
    kernel_version: str = ""


class Info(msgspec.Struct, frozen=True, rename="pascal"):
    """The machine of an engine; ``mem_total`` is in bytes."""

    id: str = field(name="ID", default="")
    name: str = ""
    server_version: str = ""
    driver: str = ""
    cgroup_driver: str = ""
    cgroup_version: str = ""
    operating_system: str = ""
    kernel_version: str = ""
    ncpu: int = field(name="NCPU", default=0)
    mem_total: int = 0
    containers: int = 0
    containers_running: int = 0
    images: int = 0
    warnings: list[str] = []


class ImageConfig(msgspec.Struct, frozen=True, rename="pascal"):
    """How containers of an image, or one container, run unless told otherwise."""

    image: str = ""
    env: list[str] = []
    cmd: list[str] = []
    # A string in images of very old builders.
    entrypoint: list[str] | str = []
    labels: dict[str, str] = {}
    working_dir: str = ""
    user: str = ""
    tty: bool = False


class Image(msgspec.Struct, frozen=True, rename="pascal"):
    """An image that the engine has; ``size`` is in bytes."""

    id: str
    repo_tags: list[str] = []
    repo_digests: list[str] = []
    size: int = 0
    architecture: str = ""
    os: str = ""
    config: ImageConfig = ImageConfig()


class Descriptor(msgspec.Struct, frozen=True):
    """What a registry says of a manifest."""

    digest: str = ""


class Distribution(msgspec.Struct, frozen=True, rename="pascal"):
    """What a registry has under a name."""

    descriptor: Descriptor = Descriptor()


class ImageSummary(msgspec.Struct, frozen=True, rename="pascal"):
    """One line of the list of images; ``created`` is in seconds of UNIX time."""

    id: str
    repo_tags: list[str] = []
    repo_digests: list[str] = []
    size: int = 0
    created: int = 0
    labels: dict[str, str] = {}


class ContainerState(msgspec.Struct, frozen=True, rename="pascal"):
    """
    Where a container is in its life.

    :param status: ``created``, ``running``, ``paused``, ``restarting``,
        ``removing``, ``exited`` or ``dead``; Podman has ``stopped``, too.
    :param exit_code: of the last run; 128 and a signal's number after that.
    :param oom_killed: the kernel ended it, since it wanted too much memory.
    :param error: why it could not be started.
    :param started_at: RFC 3339; the year 1 if it never was.
    """

    status: str = ""
    running: bool = False
    paused: bool = False
    oom_killed: bool = field(name="OOMKilled", default=False)
    dead: bool = False
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    started_at: str = ""
    finished_at: str = ""


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """A container in full; ``image`` is the identifier of its image."""

    id: str
    name: str = ""
    image: str = ""
    created: str = ""
    state: ContainerState = ContainerState()
    config: ImageConfig = ImageConfig()


class ContainerSummary(msgspec.Struct, frozen=True, rename="pascal"):
    """One line of the list of containers; names begin with a slash."""

    id: str
    names: list[str] = []
    image: str = ""
    image_id: str = field(name="ImageID", default="")
    state: str = ""
    status: str = ""
    labels: dict[str, str] = {}


class Created(msgspec.Struct, frozen=True, rename="pascal"):
    """What ``create`` and ``commit`` answer."""

    id: str
    warnings: list[str] = []


class _Trouble(msgspec.Struct, frozen=True, rename="pascal"):
    message: str = ""


class Exit(msgspec.Struct, frozen=True, rename="pascal"):
    """How a container ended: 0…255, where 137 is 128 + SIGKILL."""

    status_code: int
    error: _Trouble = _Trouble()


class Event(msgspec.Struct, frozen=True):
    """
    Something that happened on the engine.

    :param type: ``container``, ``image``, ``network``…
    :param action: ``start``, ``die``, ``oom``, ``destroy``…
    :param id: to which.
    :param attributes: its labels, and others like ``exitCode`` and ``name``.
    :param time: seconds of UNIX time, on the engine's clock.
    """

    type: str
    action: str
    id: str = ""
    attributes: dict[str, str] = {}
    time: float = 0.0


class _Actor(msgspec.Struct, rename="pascal"):
    id: str = field(name="ID", default="")
    attributes: dict[str, str] = {}


class _EventLine(msgspec.Struct, rename="pascal"):
    type: str
    action: str
    actor: _Actor = msgspec.field(default_factory=_Actor)
    time: int = field(name="time", default=0)
    time_nano: int = field(name="timeNano", default=0)


class _Throttling(msgspec.Struct, frozen=True):
    throttled_periods: int = 0
    throttled_time: int = 0


class _CPUUsage(msgspec.Struct, frozen=True):
    total_usage: int = 0


class CPUStats(msgspec.Struct, frozen=True):
    """Nanoseconds of processor time since the container, and the machine, began."""

    cpu_usage: _CPUUsage = _CPUUsage()
    system_cpu_usage: int = 0
    online_cpus: int = 0
    throttling_data: _Throttling = _Throttling()


class MemoryStats(msgspec.Struct, frozen=True):
    """Bytes; ``stats`` are the lines of the control group's ``memory.stat``."""

    usage: int = 0
    max_usage: int = 0
    limit: int = 0
    stats: dict[str, int] = {}


class PidsStats(msgspec.Struct, frozen=True):
    """Tasks, and how many may be."""

    current: int = 0
    limit: int = 0


class Stats(msgspec.Struct, frozen=True):
    """What a container uses, at one moment; zeros for one that does not run."""

    cpu_stats: CPUStats = CPUStats()
    memory_stats: MemoryStats = MemoryStats()
    pids_stats: PidsStats = PidsStats()

    @property
    def memory(self) -> int:
        """Bytes in use without what the kernel could drop, as ``docker stats``."""
        detail = self.memory_stats.stats
        # The first is of control groups 1, the second of 2.
        idle = detail.get("total_inactive_file", detail.get("inactive_file", 0))
        return max(0, self.memory_stats.usage - idle)

    @property
    def cpu_seconds(self) -> float:
        """Processor time since the container began."""
        return self.cpu_stats.cpu_usage.total_usage / 1e9


def decode(data: bytes, kind: type[T]) -> T:
    """
    Read an answer.

    :param kind: what it must be.
    :raises MalformedStream: it is not.
    """
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = data[:80].decode(errors="replace")
        raise MalformedStream(f"not what was expected: {error}: {shown!r}") from error


def _without_nulls(value: Any) -> Any:
    """Take away what is null: so does Go write empty lists and mappings."""
    if isinstance(value, dict):
        return {
            key: _without_nulls(each) for key, each in value.items() if each is not None
        }
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def decode_event(line: bytes) -> Event:
    """
    Read one line of the stream of events.

    :raises MalformedStream: it is none.
    """
    read = decode(line, _EventLine)
    return Event(
        type=read.type,
        action=read.action,
        id=read.actor.id,
        attributes=read.actor.attributes,
        time=read.time_nano / 1e9 if read.time_nano else float(read.time),
    )
