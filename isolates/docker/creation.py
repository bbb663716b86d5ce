# -*- test-case-name: cocained.test.test_isolates_docker_creation -*-
"""
What the engine is asked to create for one worker; pure.

Nothing that the profile does not ask for: no capabilities, no new privileges,
no network, no other sockets, no more than so many processes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cocained.isolates.docker.binds import Bind, parse_bind
from cocained.isolates.docker.keys import DockerArgs
from cocained.isolates.keys import soft_and_hard

#: ``/tmp`` of a read-only file system.  It counts as memory of the container;
#: without a size it could take half of the machine's.
TMP_OPTIONS = "mode=1777,size=64m"

#: What fractions of a processor are counted in.
NANO = 10**9


@dataclass(frozen=True, slots=True)
class Order:
    """
    One worker that is to be.

    :ivar image: identifier of the image that was spooled.
    :ivar executable: the manifest's ``slave``.
    :ivar arguments: of the worker; ``--endpoint`` is on this machine.
    :ivar environment: the manifest's.
    :ivar labels: by which the container is known again.
    :ivar group: number of a group that may use the sockets.
    :ivar door: directory on this machine of those of services, if there is one.
    """

    image: str
    executable: str
    arguments: Mapping[str, str]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    group: int
    door: str | None = None


def creation(args: DockerArgs, order: Order) -> dict[str, Any]:
    """Say what to create, as the API has it."""
    arguments = dict(order.arguments)
    mounts = [parse_bind(text) for text in args.binds]
    endpoint = arguments.get("--endpoint")
    if endpoint is not None:
        # The socket alone, so that those of other apps cannot be seen.  It is
        # connected to all the same where it cannot be replaced.
        inside = posixpath.join(args.runtime_path, posixpath.basename(endpoint))
        mounts.append(Bind(endpoint, inside, True))
        arguments["--endpoint"] = inside
    if order.door is not None:
        mounts.append(Bind(order.door, args.door_path, True))
    command = [order.executable]
    for name, value in sorted(arguments.items()):
        command += [name, value]
    config: dict[str, Any] = {
        "Image": order.image,
        "Cmd": command,
        "Env": [f"{name}={value}" for name, value in sorted(order.environment.items())],
        "Labels": {**args.labels, **order.labels},
        # Whether a worker is well is told by its heartbeats.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": _host(args, order.group, mounts),
    }
    if args.user:
        config["User"] = args.user
    if args.cwd:
        config["WorkingDir"] = args.cwd
    return config


def _host(args: DockerArgs, group: int, mounts: list[Bind]) -> dict[str, Any]:
    tmpfs = dict(args.tmpfs)
    if args.read_only and not any(
        posixpath.normpath(path) == "/tmp"
        for path in (*tmpfs, *(mount.target for mount in mounts))
    ):
        tmpfs["/tmp"] = TMP_OPTIONS
    host: dict[str, Any] = {
        "Mounts": [mount.to_mount() for mount in mounts],
        "GroupAdd": [str(group)],
        "NetworkMode": args.network_mode,
        "CapDrop": ["ALL"],
        "CapAdd": list(args.capabilities),
        "SecurityOpt": ["no-new-privileges"] if args.no_new_privs else [],
        "PidsLimit": args.pids,
        "Init": args.init,
        "ReadonlyRootfs": args.read_only,
        "Tmpfs": tmpfs,
        "Ulimits": [
            {"Name": name, "Soft": soft, "Hard": hard}
            for name, (soft, hard) in (
                (name, soft_and_hard(value))
                for name, value in sorted(args.ulimits.items())
            )
        ],
        # We read the output ourselves; the engine would keep it on disk without end.
        "LogConfig": {"Type": "none"},
    }
    return {**host, **_limits(args)}


def _limits(args: DockerArgs) -> dict[str, Any]:
    resources = args.resources
    limits = {
        "Memory": args.memory_bytes,
        "MemorySwap": args.swap_bytes,
        "NanoCpus": None if args.cpu is None else round(args.cpu * NANO),
        "CpuShares": args.shares,
        "CpuPeriod": resources.cpu_period,
        "CpuQuota": resources.cpu_quota,
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
    }
    return {name: value for name, value in limits.items() if value}
