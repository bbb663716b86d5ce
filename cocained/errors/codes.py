# -*- test-case-name: cocained.test.test_errors -*-
"""
Categories and codes of errors, as they travel (protocol.md §2.2).
"""

from __future__ import annotations

from enum import IntEnum


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
