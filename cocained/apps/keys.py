# -*- test-case-name: cocained.test.test_apps_documents -*-
"""
The keys of manifests and profiles: types, bounds, defaults, descriptions.

Nothing about a key stands anywhere else; the tables of the documentation are
made from these structs by :mod:`cocained.config.describe`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cocained.apps.blobs import check_text
from cocained.config import Invalid
from cocained.config.problems import Path

#: Workers of one app on one node.  Each is a process and three descriptors;
#: more than this are not what one machine runs.
MAX_POOL = 10_000

#: Channels of one worker.  Past a million the tables of one worker alone
#: would take a gigabyte.
MAX_CONCURRENCY = 1_000_000

#: Events that wait; each takes a kilobyte at least, so a gigabyte in all.
MAX_QUEUE = 1_000_000

#: Lines kept of one worker's output: they are held in memory for each worker.
MAX_CRASHLOG = 100_000

#: Requests and bytes after which a worker is replaced: more than any reaches.
MAX_SERVED = 10**12
MAX_MEMORY = 2**50

#: Seconds.  Ten years are a way to say "never"; more is a slip of units.
MAX_SECONDS = 10 * 365 * 86400

#: Bytes of ``NAME=value``; Linux refuses to run a program with a longer one
#: (``MAX_ARG_STRLEN``, with room for the final zero).
MAX_VARIABLE = 128 * 1024 - 1

#: Seconds between two looks for a new version, at least: a thousand apps ask the
#: storage three times each, and it has other things to do.
MIN_LOOK = 1.0

_NO_SLAVE = "runnable object has not been specified"
_BAD_ENVIRONMENT = "environment should be a map of string -> string"

Wait = Annotated[float, Meta(gt=0, le=MAX_SECONDS, extra={"unit": "seconds"})]


class ManifestKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a manifest that mean something here."""

    slave: Annotated[
        str,
        Meta(
            min_length=1,
            description="Program of the workers: absolute, or relative to the app's "
            "unpacked code.",
            extra={"missing": _NO_SLAVE},
        ),
    ]
    environment: Annotated[
        dict[str, str],
        Meta(
            description="Variables added to the workers' environment.",
            extra={"text": _BAD_ENVIRONMENT},
        ),
    ] = {}
    protocol: Annotated[
        Literal[0, 1],
        Meta(
            description="Worker protocol; 0 is that of frameworks older than "
            "0.12.3. Ours: the original decides by its own version."
        ),
    ] = 1

    def __post_init__(self) -> None:
        faults: list[tuple[str | Path, str]]
        faults = [("slave", fault) for fault in check_text(self.slave)]
        for name, value in self.environment.items():
            key = ("environment", name)
            faults += [(key, fault) for fault in check_text(name + value)]
            if not name or "=" in name:
                faults.append((key, "the name must not be empty or contain '='"))
            size = len(f"{name}={value}".encode("utf-8", "surrogateescape"))
            if size > MAX_VARIABLE:
                faults.append((key, f"is longer than {MAX_VARIABLE} bytes"))
        if faults:
            raise Invalid(*faults)


class IsolateKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The means to run workers."""

    type: Annotated[
        str, Meta(min_length=1, max_length=255, description="Name of the plugin.")
    ] = "process"
    args: Annotated[
        dict[str, Any], Meta(description="Arguments; each type has its own.")
    ] = {}


class RecycleKeys(msgspec.Struct, frozen=True, kw_only=True):
    """When a worker is replaced by a fresh one (ours); 0 is never."""

    requests: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SERVED,
            description="Requests that a worker serves; 0 = any number.",
            extra={"unit": "requests"},
        ),
    ] = 0
    age: Annotated[
        float,
        Meta(
            ge=0,
            le=MAX_SECONDS,
            description="Age that it reaches, looked at every 5 seconds; 0 = any.",
            extra={"unit": "seconds"},
        ),
    ] = 0.0
    memory: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_MEMORY,
            description="Memory that it takes, likewise, where the isolate knows; "
            "0 = any.",
            extra={"unit": "bytes"},
        ),
    ] = 0
    jitter: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="Share by which each worker's own limits may be lower, drawn "
            "by lot, so that workers do not leave together.",
            extra={"unit": "share"},
        ),
    ] = 0.1


class ProfileKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a profile (protocol.md §9.2, column 0.12.14)."""

    heartbeat_timeout: Annotated[
        Wait,
        Meta(
            description="Longest silence of a worker; then it is killed.",
            extra={"text": "slave heartbeat timeout must be positive"},
        ),
    ] = msgspec.field(default=30.0, name="heartbeat-timeout")
    spawn_timeout: Annotated[
        Wait, Meta(description="From the order to spawn until the program runs.")
    ] = msgspec.field(default=1.0, name="spawn-timeout")
    handshake_timeout: Annotated[
        Wait,
        Meta(
            description="From then until the worker's handshake; "
            "``startup-timeout`` is an older name."
        ),
    ] = msgspec.field(default=5.0, name="handshake-timeout")
    idle_timeout: Annotated[
        float,
        Meta(
            ge=0,
            le=MAX_SECONDS,
            description="A worker without requests for this long is stopped; "
            "0 = never.",
            extra={"unit": "seconds"},
        ),
    ] = msgspec.field(default=600.0, name="idle-timeout")
    seal_timeout: Annotated[
        Wait,
        Meta(description="Time of a sealed worker to finish what it has."),
    ] = msgspec.field(default=60.0, name="seal-timeout")
    terminate_timeout: Annotated[
        Wait,
        Meta(
            description="From the request to terminate until the worker is killed; "
            "``termination-timeout`` is an older name."
        ),
    ] = msgspec.field(default=10.0, name="terminate-timeout")
    request_timeout: Annotated[
        Wait,
        Meta(
            description="Whole life of a request, waiting included; the header "
            "``request_timeout`` of a request goes before."
        ),
    ] = msgspec.field(default=86400.0, name="request-timeout")
    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_CONCURRENCY,
            description="Requests that one worker runs at a time.",
            extra={"unit": "requests", "text": "engine concurrency must be positive"},
        ),
    ] = 10
    pool_limit: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_POOL,
            description="Most workers of the app on one node.",
            extra={"unit": "workers", "text": "engine pool limit must be positive"},
        ),
    ] = msgspec.field(default=10, name="pool-limit")
    queue_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_QUEUE,
            description="Most requests that wait; with 0 only as many as the pool "
            "could take at once.",
            extra={"unit": "requests"},
        ),
    ] = msgspec.field(default=100, name="queue-limit")
    grow_threshold: Annotated[
        int,
        Meta(
            ge=1,
            le=MAX_QUEUE,
            description="Waiting requests for which there should be one worker.",
            extra={
                "unit": "requests",
                "default": "``queue-limit / pool-limit / 2``, at least 1",
            },
        ),
    ] = msgspec.field(default=0, name="grow-threshold")
    crashlog_limit: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_CRASHLOG,
            description="Last lines of a worker's output that are kept for its "
            "crashlog.",
            extra={"unit": "lines"},
        ),
    ] = msgspec.field(default=50, name="crashlog-limit")
    log_output: Annotated[
        bool, Meta(description="Whether output of workers is logged, at ``debug``.")
    ] = msgspec.field(default=False, name="log-output")
    publish_on: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_POOL,
            description="Active workers from which on the app's service is published.",
            extra={"unit": "workers"},
        ),
    ] = msgspec.field(default=0, name="publish-on")
    unpublish_under: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_POOL,
            description="Active workers below which it is taken back.",
            extra={"unit": "workers"},
        ),
    ] = msgspec.field(default=0, name="unpublish-under")
    auto_update: Annotated[
        float,
        Meta(
            ge=0,
            le=MAX_SECONDS,
            description="From one look whether the app has changed in the storage to "
            "the next, at least 1; what has stayed the same for two looks is taken "
            "over. 0 = never. Ours.",
            extra={"unit": "seconds"},
        ),
    ] = msgspec.field(default=0.0, name="auto-update")
    isolate: Annotated[IsolateKeys, Meta(description="How workers are run.")] = (
        IsolateKeys()
    )

    recycle: Annotated[
        RecycleKeys, Meta(description="When workers are replaced by fresh ones; ours.")
    ] = RecycleKeys()

    def __post_init__(self) -> None:
        if not self.grow_threshold:
            # Integer divisions in this order, as the original does them.
            wanted = max(1, self.queue_limit // max(1, self.pool_limit) // 2)
            msgspec.structs.force_setattr(self, "grow_threshold", wanted)
