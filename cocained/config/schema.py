# -*- test-case-name: cocained.test.test_config_schema -*-
"""
The configuration of a node, as frozen structs.

Every key's type, unit, default and description stand here and nowhere else;
:mod:`cocained.config.describe` makes the tables of the documentation from
them.  Sections and names are the original's (protocol.md §12.3); ``limits``
and ``shutdown`` are ours.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cocained.config.convert import Invalid
from cocained.config.problems import LineMap, Path
from cocained.rpc.codec import FRAME_LIMIT, MIN_FRAME_LIMIT

#: A TCP port; 0 leaves the choice to the operating system.
Port = Annotated[int, Meta(ge=0, le=65535)]

#: The name of a component.  It travels in frames and in file names, which
#: bear 255 bytes.
Name = Annotated[str, Meta(min_length=1, max_length=255)]

#: The identity of a node, as the original writes it.
#: ``$`` would let a line's end through.
Uuid = Annotated[str, Meta(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]

#: Seconds that a node of a cluster settles: published proxies give each
#: connection as long (tools.md §4.5), so who has resolved has come by then.
SETTLE = 5.0

#: A day, in seconds.  Longer waits on a socket or a stop are a slip of units.
_DAY = 86400

_Seconds = Annotated[float, Meta(ge=0, le=_DAY)]


def runtime_directory(
    environ: Mapping[str, str] | None = None, uid: int | None = None
) -> str:
    """
    Choose where worker sockets go when ``paths.runtime`` does not say.

    :param environ: defaults to that of this process.
    :param uid: user id, defaults to that of this process.
    :returns: ``$XDG_RUNTIME_DIR/cocained``, else ``/run/cocained`` for root,
        else a directory of the user's own among the temporary files.
    """
    environ = os.environ if environ is None else environ
    uid = os.getuid() if uid is None else uid
    session = environ.get("XDG_RUNTIME_DIR", "")
    # The XDG specification wants relative values ignored.
    if os.path.isabs(session):
        return os.path.join(session, "cocained")
    if uid == 0:
        return "/run/cocained"
    return os.path.join(tempfile.gettempdir(), f"cocained-{uid}")


class ComponentConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """A plugin to build: its type, and the arguments of that type."""

    type: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=255,
            description="Name of the plugin; ``twistd cocained --plugins`` lists them.",
        ),
    ]
    args: Annotated[
        dict[str, Any], Meta(description="Arguments; each type has its own.")
    ] = {}


class PathsConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Directories of the node; relative ones start at the file's directory."""

    runtime: Annotated[
        str,
        Meta(
            min_length=1,
            description="Directory of the workers' sockets, made if it is missing. "
            "Keep it short: a UNIX socket's path has at most 107 bytes.",
            extra={
                "default": "``$XDG_RUNTIME_DIR/cocained``; without that variable "
                "``/run/cocained`` for root, else ``cocained-UID`` in the "
                "directory of temporary files"
            },
        ),
    ] = msgspec.field(default_factory=runtime_directory)
    spool: Annotated[
        str,
        Meta(
            min_length=1,
            description="Directory under which the code of apps is unpacked.",
        ),
    ] = "/var/spool/cocaine"


class NetworkConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Where services listen."""

    endpoint: Annotated[
        str,
        Meta(
            min_length=1,
            description="Numeric address on which all services listen. ``::`` is "
            "every address of the machine; use ``127.0.0.1`` for a node of your own: "
            "the protocol knows no passwords.",
        ),
    ] = "::"
    hostname: Annotated[
        Name,
        Meta(
            description="Name of this machine, as other nodes and clients reach it; "
            "its addresses are announced when ``endpoint`` is every address.",
            extra={"default": "the machine's own name"},
        ),
    ] = msgspec.field(default_factory=socket.gethostname)
    unix: Annotated[
        str,
        Meta(
            description="Directory in which each service listens at a UNIX socket of "
            "its name, too; ``cocaine-tool --host DIRECTORY/locator`` uses it. Who can "
            "enter it may call everything: it is made for the node's user alone, and "
            "one that is there keeps its mode. Keep it short.",
            extra={"default": "none"},
        ),
    ] = ""
    pinned: Annotated[
        dict[Name, Port],
        Meta(
            description="Services with ports of their own, such as ``locator: 10053``. "
            "Port 0 leaves the choice to the operating system.",
        ),
    ] = {}
    shared: Annotated[
        tuple[
            Annotated[int, Meta(ge=0, le=65535)], Annotated[int, Meta(ge=0, le=65536)]
        ],
        Meta(
            description="``[first, end]``: ports of all other services, from the first "
            "up to and without the end. ``[0, 0]`` leaves the choice to the "
            "operating system.",
        ),
    ] = (0, 0)

    def __post_init__(self) -> None:
        faults: list[tuple[str | Path, str]] = []
        try:
            ipaddress.ip_address(self.endpoint)
        except ValueError:
            faults.append(
                ("endpoint", "must be a numeric address such as 127.0.0.1 or '::'")
            )
        first, end = self.shared
        if (first, end) != (0, 0):
            if first == 0:
                faults.append(
                    ("shared", "must begin at port 1 or above, or be [0, 0] for any")
                )
            elif first >= end:
                reason = f"must grow, but {end} is not above {first}"
                faults.append(("shared", f"{reason} (the end itself is not used)"))
        counts = Counter(port for port in self.pinned.values() if port)
        for port in sorted(port for port, count in counts.items() if count > 1):
            names = sorted(name for name, at in self.pinned.items() if at == port)
            faults.append(
                ("pinned", f"port {port} is given to {' and '.join(names[:5])}")
            )
        if faults:
            raise Invalid(*faults)


class LoggingConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """What is logged, and where it goes."""

    loggers: Annotated[
        tuple[ComponentConfig, ...],
        Meta(
            description="Where log events go, all of them to each; an empty list "
            "keeps the node silent.",
            extra={"default": "``[{type: console}]``"},
        ),
    ] = (ComponentConfig(type="console"),)
    severity: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Lesser events than this are not logged."),
    ] = "info"


class LimitsConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """Bounds that keep a peer from taking the whole machine."""

    frame: Annotated[
        int,
        Meta(
            # What one read may hold must not be refused; msgpack's own lengths
            # end at 4 GiB.
            ge=MIN_FRAME_LIMIT,
            le=2**32 - 1,
            description="Largest frame that is accepted; bounds archives "
            "uploaded through the storage service.",
            extra={"unit": "bytes"},
        ),
    ] = FRAME_LIMIT
    connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections of clients at one time, of each service; the "
            "node needs as many file descriptors and some more.",
            extra={"unit": "connections"},
        ),
    ] = 16384
    write_stall: Annotated[
        float,
        Meta(
            gt=0,
            le=_DAY,
            description="A peer that reads nothing for this long while something "
            "waits for it is disconnected.",
            extra={"unit": "seconds"},
        ),
    ] = msgspec.field(default=60.0, name="write-stall")
    storage: Annotated[
        float,
        Meta(
            gt=0,
            le=_DAY,
            description="An operation of a storage that takes longer fails with "
            "``[12, 110]``; whether it took effect is then unknown.",
            extra={"unit": "seconds"},
        ),
        # What may wait to be written, 256 MiB, takes a slow disk half of it.
    ] = 60.0


class ShutdownConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True
):
    """How the node stops, and how it drains."""

    settle: Annotated[
        _Seconds | None,
        Meta(
            description="Time for which everything is served as before, after "
            "peers and clients have been told to go elsewhere; who asked a moment "
            "earlier still comes.",
            extra={
                "unit": "seconds",
                "default": "5 if the locator has a ``cluster``, else 0",
            },
        ),
    ] = None
    drain: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY,
            description="Time for running requests to finish after that; 0 ends "
            "them at once.",
            extra={"unit": "seconds"},
        ),
    ] = 10.0
    kill: Annotated[
        float,
        Meta(
            ge=0,
            le=_DAY,
            description="Time for workers to end by themselves after that; "
            "then they are killed.",
            extra={"unit": "seconds"},
        ),
    ] = 3.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All keys that a file may have."""

    version: Annotated[
        Literal[4],
        Meta(
            description="Generation of the file's layout. 2 and 3 are the original's "
            "older ones and are translated."
        ),
    ] = 4
    uuid: Annotated[
        Uuid | None,
        Meta(
            description="Identity of the node among its peers, in small letters; two "
            "nodes must not share one.",
            extra={"default": "a fresh one for each start"},
        ),
    ] = None
    paths: Annotated[PathsConfig, Meta(description="Directories.")] = msgspec.field(
        default_factory=PathsConfig
    )
    network: Annotated[NetworkConfig, Meta(description="Addresses and ports.")] = (
        msgspec.field(default_factory=NetworkConfig)
    )
    logging: Annotated[LoggingConfig, Meta(description="Logs of the node.")] = (
        LoggingConfig()
    )
    services: Annotated[
        dict[Name, ComponentConfig], Meta(description="Services to offer, by name.")
    ] = {}
    storages: Annotated[
        dict[Name, ComponentConfig],
        Meta(
            description="Storages, by name. Apps live in the one called ``core``; "
            "one called ``cache``, if there is any, is asked first.",
        ),
    ] = {}
    unicorns: Annotated[
        dict[Name, ComponentConfig],
        Meta(
            description="Coordination backends, by name: for the service ``unicorn``"
            " and for cluster plugins.",
        ),
    ] = {}
    limits: Annotated[LimitsConfig, Meta(description="Bounds on peers.")] = (
        LimitsConfig()
    )
    shutdown: Annotated[ShutdownConfig, Meta(description="The end of the node.")] = (
        ShutdownConfig()
    )


class NodeConfig(Settings, frozen=True, kw_only=True):
    """
    The configuration of a node, read and checked.

    :ivar base: absolute directory of the file.
    :ivar notes: sentences for the log about what was accepted but means
        nothing here.
    :ivar where: lines of the file, for errors found later.
    """

    base: str = "/"
    notes: tuple[str, ...] = ()
    where: LineMap = msgspec.field(default_factory=LineMap)

    @property
    def settle(self) -> float:
        """Seconds for which a node serves that is about to stop."""
        if self.shutdown.settle is not None:
            return self.shutdown.settle
        locators = (c for c in self.services.values() if c.type == "locator")
        return SETTLE if any(c.args.get("cluster") for c in locators) else 0.0

    def resolve(self, path: str) -> str:
        """
        Make a path of the file absolute.

        :param path: relative ones start at :attr:`base`, so that a file can
            be moved together with what it names.
        """
        return os.path.normpath(os.path.join(self.base, path))
