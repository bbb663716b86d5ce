# -*- test-case-name: cocained.test.test_docker_client -*-
"""
The client: all groups of calls on one transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cocained.docker.address import DEFAULT_ADDRESS, Address, parse_address
from cocained.docker.auth import Credentials, RegistryAuth
from cocained.docker.containers import ContainerCalls
from cocained.docker.engine import EngineCalls
from cocained.docker.images import ImageCalls
from cocained.docker.transport import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    IDLE_TIMEOUT,
    Transport,
)


class DockerClient(EngineCalls, ImageCalls, ContainerCalls):
    """
    A client of one engine.

    It keeps no connection, and so needs no closing.  Cancelling what a call
    returns closes the connection of the call.

    :param reactor: connects and keeps the time.
    :param address: of the engine, see :mod:`cocained.docker.address`.
    :param timeout: seconds for a short answer.
    :param connect_timeout: seconds for a connection.
    :param idle_timeout: seconds of silence in a pull, push, build or import;
        0 for no limit.
    :param registry_auth: credentials by host and port of their registry.
    :raises InvalidAddress: the address names no engine, or its certificates
        cannot be used.
    """

    def __init__(
        self,
        reactor: Any,
        address: str | Address = DEFAULT_ADDRESS,
        *,
        timeout: float = ANSWER_TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        idle_timeout: float = IDLE_TIMEOUT,
        registry_auth: Mapping[str, RegistryAuth] | None = None,
    ) -> None:
        if isinstance(address, str):
            address = parse_address(address)
        self.address = address
        super().__init__(
            Transport(reactor, address, timeout, connect_timeout, idle_timeout),
            Credentials(registry_auth),
        )
