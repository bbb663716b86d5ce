# -*- test-case-name: cocained.test.test_errors -*-
"""
The error tree, and the codes under which its members travel.

Every error that can reach a peer ends as a *category*, a *code* and a
*reason* (protocol.md §2.2).  :func:`to_wire` is the one place that turns an
exception into such a triple.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class Category(IntEnum):
    """Error categories of the 0.12.14 dialect (protocol.md §2.2)."""

    SYSTEM = 1
    ASIO_SYSTEM = 2
    ASIO_NETDB = 3
    ASIO_ADDRINFO = 4
    ASIO_MISC = 5
    TRANSPORT = 6
    DISPATCH = 7
    REPOSITORY = 8
    SECURITY = 9
    LOCATOR = 10
    UNICORN = 11
    GENERIC = 12
    PROTOCOL = 13
    WORKER = 42
    WORKER_USER = 43
    UNKNOWN = 255
    NODE = 0x51FF
    OVERSEER = 0x52FF
    WORKER_STATE = 0x53FF


class TransportCode(IntEnum):
    """Codes of :attr:`Category.TRANSPORT`."""

    FRAME_FORMAT = 1
    HPACK = 2
    INSUFFICIENT_BYTES = 3
    PARSE = 4


class DispatchCode(IntEnum):
    """Codes of :attr:`Category.DISPATCH`."""

    DUPLICATE_SLOT = 1
    INVALID_ARGUMENT = 2
    NOT_CONNECTED = 3
    REVOKED_CHANNEL = 4
    SLOT_NOT_FOUND = 5
    UNBOUND_DISPATCH = 6
    UNCAUGHT = 7


class RepositoryCode(IntEnum):
    """Codes of :attr:`Category.REPOSITORY`."""

    NOT_FOUND = 1
    DUPLICATE = 2
    INITIALIZATION = 3
    INVALID_INTERFACE = 4
    LOADING = 5
    VERSION_MISMATCH = 6
    NOT_REGISTERED = 7


class LocatorCode(IntEnum):
    """Codes of :attr:`Category.LOCATOR`."""

    SERVICE_NOT_AVAILABLE = 1
    ROUTING_STORAGE = 2
    MISSING_VERSION = 3
    GATEWAY_DUPLICATE = 4
    GATEWAY_MISSING = 5


class UnicornCode(IntEnum):
    """Codes of :attr:`Category.UNICORN`."""

    CHILD_NOT_ALLOWED = 1
    INVALID_TYPE = 2
    INVALID_VALUE = 3
    UNKNOWN = 4
    INVALID_NODE_NAME = 5
    INVALID_PATH = 6
    VERSION_NOT_ALLOWED = 7
    NO_NODE = 8
    NODE_EXISTS = 9
    CONNECTION_LOSS = 10
    BACKEND_INTERNAL = 11


class NodeCode(IntEnum):
    """Codes of :attr:`Category.NODE`."""

    DEADLINE = 1
    RESOURCE = 2
    TIMEOUT = 3
    INVALID_ASSIGNMENT = 4
    ALREADY_STARTED = 5
    NOT_RUNNING = 6
    UNCAUGHT_SPOOL = 7
    UNCAUGHT_PUBLISH = 8


class OverseerCode(IntEnum):
    """Codes of :attr:`Category.OVERSEER`."""

    QUEUE_IS_FULL = 1
    POOL_IS_FULL = 2


class WorkerCode(IntEnum):
    """
    Why a worker ended: the codes of :attr:`Category.WORKER_STATE`.

    The bare number travels in ``terminate`` frames (protocol.md §8.4).
    """

    SPAWN_TIMEOUT = 1
    LOCATOR_NOT_FOUND = 2
    NO_LOCATOR_ENDPOINTS = 3
    ACTIVATE_TIMEOUT = 4
    UNKNOWN_ACTIVATE_ERROR = 5
    SEAL_TIMEOUT = 6
    TERMINATE_TIMEOUT = 7
    HEARTBEAT_TIMEOUT = 8
    INVALID_STATE = 9
    CONTROL_LOST = 10
    OVERSEER_SHUTDOWN = 11
    COMMITTED_SUICIDE = 12
    IDLE = 13
    SEALING = 14


#: Texts that travel with :class:`WorkerCode` (protocol.md §2.2).
WORKER_TEXTS = {
    WorkerCode.SPAWN_TIMEOUT: "timed out while spawning",
    WorkerCode.LOCATOR_NOT_FOUND: "locator not found",
    WorkerCode.NO_LOCATOR_ENDPOINTS: "locator endpoints set is empty",
    WorkerCode.ACTIVATE_TIMEOUT: "timed out while activating",
    WorkerCode.UNKNOWN_ACTIVATE_ERROR: "unknown activate error",
    WorkerCode.SEAL_TIMEOUT: "timed out while sealing",
    WorkerCode.TERMINATE_TIMEOUT: "timed out while terminating",
    WorkerCode.HEARTBEAT_TIMEOUT: "timed out while waiting for heartbeat",
    WorkerCode.INVALID_STATE: "invalid state",
    WorkerCode.CONTROL_LOST: "unexpected control IPC error",
    WorkerCode.OVERSEER_SHUTDOWN: "overseer is shutting down",
    WorkerCode.COMMITTED_SUICIDE: "slave has committed suicide",
    WorkerCode.IDLE: "slave is idle",
    WorkerCode.SEALING: "slave is sealing",
}

#: Asio's code for the end of a stream, the commonest reason a peer is gone.
ASIO_EOF = 2


class WireError(NamedTuple):
    """An error as it travels: ``[[category, code], reason]``."""

    category: int
    code: int
    reason: str


class CocainedError(Exception):
    """Root of everything this project raises on purpose."""

    category: int = Category.GENERIC
    code: int = errno.EINVAL

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class ConfigError(CocainedError):
    """
    A file of ours that cannot be used.

    :param reason: what is wrong and, where one can tell, the remedy.
    :param path: dotted path of the key inside the document, ``""`` for all.
    :param line: line in the file, counted from 1, or ``None``.
    :param filename: the file, or ``None`` for a document that has none.
    """

    def __init__(
        self,
        reason: str,
        path: str = "",
        line: int | None = None,
        filename: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.path = path
        self.line = line
        self.filename = filename

    def __str__(self) -> str:
        place = ":".join(
            str(part) for part in (self.filename, self.line) if part is not None
        )
        parts = [part for part in (place, self.path, self.reason) if part]
        return ": ".join(parts)


class DocumentError(CocainedError):
    """
    A manifest, profile or runlist with mistakes, all of them listed at once.

    :param what: which document, such as ``profile 'default'``.
    :param problems: one sentence each.
    """

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what}: {'; '.join(problems)}")
        self.what = what
        self.problems = list(problems)


class PluginError(CocainedError):
    """Something is wrong with a plugin; the base of three precise errors."""

    category = Category.REPOSITORY
    code = RepositoryCode.INITIALIZATION


class UnknownPlugin(PluginError):
    """No plugin of that kind has that type name."""

    code = RepositoryCode.NOT_REGISTERED


class DuplicatePlugin(PluginError):
    """Two plugins of one kind claim the same type name."""

    code = RepositoryCode.DUPLICATE


class BrokenPlugin(PluginError):
    """A plugin that cannot be imported, built, or lacks its interface."""

    code = RepositoryCode.INVALID_INTERFACE


class ProtocolError(CocainedError):
    """A rule of the wire was broken."""

    category = Category.TRANSPORT
    code = TransportCode.FRAME_FORMAT


class LocalProtocolError(ProtocolError):
    """*We* tried to send what the protocol forbids: a bug on this side."""


class RemoteProtocolError(ProtocolError):
    """
    The peer sent bytes after which the connection cannot go on.

    :param reason: what was wrong, for the log.
    :param code: which fault, travels to those who wait on the connection.
    """

    def __init__(
        self, reason: str, code: TransportCode = TransportCode.FRAME_FORMAT
    ) -> None:
        super().__init__(reason)
        self.code = code


class InvalidArgument(CocainedError):
    """A message whose arguments do not fit; only its channel suffers."""

    category = Category.DISPATCH
    code = DispatchCode.INVALID_ARGUMENT


class SlotNotFound(CocainedError):
    """A message id that the channel does not accept now."""

    category = Category.DISPATCH
    code = DispatchCode.SLOT_NOT_FOUND


class RevokedChannel(CocainedError):
    """A channel number that is not valid, or no longer."""

    category = Category.DISPATCH
    code = DispatchCode.REVOKED_CHANNEL


class TooManyChannels(CocainedError):
    """A connection has as many open channels as one may have."""

    category = Category.NODE
    code = NodeCode.RESOURCE


class RemoteError(CocainedError):
    """
    What a peer reported in an ``error`` frame, or what ended its connection.

    :param category: error category, 0…65535 and beyond (protocol.md §2.2).
    :param code: code within it; workers also send negative ones.
    :param reason: text, possibly empty.
    """

    def __init__(self, category: int, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.category = category
        self.code = code

    def __str__(self) -> str:
        return f"[{self.category}, {self.code}] {self.reason}"


class ServiceNotAvailable(CocainedError):
    """The locator knows no service of that name."""

    category = Category.LOCATOR
    code = LocatorCode.SERVICE_NOT_AVAILABLE

    def __init__(self, reason: str = "service is not available") -> None:
        super().__init__(reason)


class StorageError(CocainedError):
    """
    A storage could not do what was asked.

    :param code: an ``errno`` value; travels as ``[12, code]``.
    :param reason: usually ``<place>: <text of the code>``.
    """

    category = Category.GENERIC

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    @classmethod
    def from_os_error(cls, error: OSError, place: str) -> StorageError:
        """Keep the code of *error*; name *place* as the reference does (S1)."""
        code = error.errno or errno.EIO
        return cls(code, f"{place}: {os.strerror(code)}")


class UnicornError(CocainedError):
    """A coordination backend could not do what was asked."""

    category: int = Category.UNICORN
    code: int = UnicornCode.BACKEND_INTERNAL


class ChildNotAllowed(UnicornError):
    """The node has children, and this is for nodes without."""

    code = UnicornCode.CHILD_NOT_ALLOWED


class InvalidType(UnicornError):
    """A number was needed and there is none."""

    code = UnicornCode.INVALID_TYPE


class InvalidValue(UnicornError):
    """A value that cannot be stored, or bytes that are no value."""

    code = UnicornCode.INVALID_VALUE


class InvalidNodeName(UnicornError):
    """A lock's path has children that are no locks."""

    code = UnicornCode.INVALID_NODE_NAME


class InvalidPath(UnicornError):
    """Text that is no path of a node."""

    code = UnicornCode.INVALID_PATH


class VersionNotAllowed(UnicornError):
    """A version that no node has, or that this node has no longer."""

    code = UnicornCode.VERSION_NOT_ALLOWED


class NoNode(UnicornError):
    """There is no node at that path, or no longer."""

    code = UnicornCode.NO_NODE


class NodeExists(UnicornError):
    """There is a node at that path already."""

    code = UnicornCode.NODE_EXISTS


class ConnectionLoss(UnicornError):
    """
    The backend cannot be reached, or its session has ended.

    Whether a change that failed so took effect is unknown.
    """

    code = UnicornCode.CONNECTION_LOSS


class UnicornBusy(UnicornError):
    """As much is going on as may; nothing was done, and later it may be."""

    category = Category.GENERIC
    code = errno.EAGAIN


class IsolateError(CocainedError):
    """An isolate could not do its work."""


class SpoolError(IsolateError):
    """
    The app's code could not be prepared.

    :param reason: what happened and what to do about it.
    :param code: an ``errno`` value that fits best.
    """

    def __init__(self, reason: str, code: int = errno.EINVAL) -> None:
        super().__init__(reason)
        self.code = code


class DoorError(SpoolError):
    """A directory of UNIX sockets cannot be opened."""


class SpawnError(IsolateError):
    """
    A worker could not be started.

    :param reason: what happened and what to do about it.
    :param code: an ``errno`` value that fits best.
    """

    def __init__(self, reason: str, code: int = errno.EINVAL) -> None:
        super().__init__(reason)
        self.code = code


class AppError(CocainedError):
    """An app cannot serve what was asked of it."""

    category: int = Category.NODE


class AppExists(AppError):
    """``start_app`` for an app that is already there."""

    code = NodeCode.ALREADY_STARTED


class AppNotRunning(AppError):
    """The app is not on this node."""

    code = NodeCode.NOT_RUNNING


class AppStopped(AppError):
    """
    The app went away while its clients still had connections.

    Proxies know this very pair and resolve again (tools.md §4.5).
    """

    category = Category.GENERIC
    code = errno.EPIPE

    def __init__(
        self, reason: str = "the application has been stopped: Broken pipe"
    ) -> None:
        super().__init__(reason)


class Forbidden(CocainedError):
    """Something that is there, and is not for the one who asks."""

    code = errno.EACCES


class NotDrained(CocainedError):
    """
    The node has not come to rest.

    :param reason: why, and what to do about it.
    :param code: ``ETIMEDOUT``, or ``ECANCELED`` if the drain was undone.
    """

    def __init__(self, reason: str, code: int = errno.ETIMEDOUT) -> None:
        super().__init__(reason)
        self.code = code


class BacklogFull(AppError):
    """No room for one more waiting event."""

    category = Category.OVERSEER
    code = OverseerCode.QUEUE_IS_FULL

    def __init__(self, reason: str = "queue is full") -> None:
        super().__init__(reason)


class DeadlineExceeded(AppError):
    """The event waited in the queue longer than its deadline."""

    code = NodeCode.DEADLINE

    def __init__(self, reason: str = "the event has expired in the queue") -> None:
        super().__init__(reason)


class RequestTimeout(AppError):
    """The worker did not finish the event in time."""

    code = NodeCode.TIMEOUT

    def __init__(self, reason: str = "slave has been discarded") -> None:
        super().__init__(reason)


class WorkerLost(AppError):
    """
    The worker that had the event is gone.

    :param category: category of what ended it (protocol.md §7.1).
    :param code: code within it.
    """

    def __init__(self, category: int, code: int) -> None:
        super().__init__("slave has been discarded")
        self.category = category
        self.code = code


def to_wire(error: BaseException) -> WireError:
    """
    Say how *error* travels.

    :param error: anything that was raised while a request was served.
    :returns: its triple.  What is not ours goes out as ``[7, 7]`` with its
        text, as the original does for exceptions of no category.
    """
    if isinstance(error, CocainedError):
        return WireError(int(error.category), int(error.code), error.reason)
    if isinstance(error, OSError) and error.errno:
        return WireError(Category.GENERIC, error.errno, str(error))
    return WireError(
        Category.DISPATCH,
        DispatchCode.UNCAUGHT,
        str(error) or "uncaught invocation exception",
    )
