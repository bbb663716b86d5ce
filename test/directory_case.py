# -*- test-case-name: cocained.test.test_directory -*-
"""
The services of a node: their ports, and those who hear of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from zope.interface import implementer

from cocained.component import Component, NoArgs
from cocained.directory import Directory
from cocained.errors import CocainedError
from cocained.interfaces import IExposure
from cocained.ports import Ports
from cocained.rpc.arguments import blob
from cocained.rpc.dispatch import Protocol
from cocained.rpc.wire import Limits, Wiring
from cocained.test.service_case import LogCase, PortReactor


class EchoService(Component[NoArgs]):
    """A service with one method."""

    protocol = Protocol(version=5)

    @protocol.method(0, blob)
    def ping(self, message: bytes) -> bytes:
        return message


@implementer(IExposure)
class Recorder:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def service_exposed(
        self,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
    ) -> None:
        self.told.append((name, list(endpoints), version, dict(graph)))

    def service_removed(self, name: str) -> None:
        self.told.append(name)


class DirectoryCase(LogCase):
    def setUp(self) -> None:
        self.reactor = PortReactor()
        self.service: Any = EchoService(cast(Any, None), "echo", NoArgs())

    def directory(
        self,
        pinned: Mapping[str, int] | None = None,
        shared: tuple[int, int] = (0, 0),
        interface: str = "127.0.0.1",
        addresses: Sequence[str] = ("127.0.0.1",),
        limits: Limits | None = None,
    ) -> Directory:
        wiring = Wiring(cast(Any, self.reactor), limits)
        return Directory(wiring, interface, addresses, Ports(pinned or {}, shared))

    def expose(self, directory: Directory, *names: str) -> list[int]:
        """Expose services; give their ports."""
        for name in names:
            self.successResultOf(directory.expose(name, self.service))
        return [directory.endpoints(name)[0][1] for name in names]

    def refuse(self, directory: Directory, name: str) -> CocainedError:
        """Expose a service that cannot be; give the error."""
        failed = directory.expose(name, self.service)
        error = self.failureResultOf(failed, CocainedError).value
        assert isinstance(error, CocainedError)
        self.assertEqual(directory.endpoints(name), ())
        return error
