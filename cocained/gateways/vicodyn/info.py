# -*- test-case-name: cocained.test.test_gateways_vicodyn_info -*-
"""
The service ``vicodyn``: which apps there are where (plugins.md §4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from typing import Protocol as Role

from zope.interface import implementer

from cocained.component import Still
from cocained.interfaces import IRemoteService
from cocained.rpc.arguments import optional, text
from cocained.rpc.dispatch import Protocol


class Shown(Role):
    """The gateway, as operators see it."""

    def show_apps(self) -> Mapping[str, Any]:
        """The nodes of each app."""

    def show_peers(self) -> Mapping[str, Any]:
        """What is known of each node."""


@implementer(IRemoteService)
class InfoService(Still):
    """
    Version 1: info, peers, apps.

    :param gateway: what is shown.
    """

    protocol = Protocol(version=1)
    name = "vicodyn"

    def __init__(self, gateway: Shown) -> None:
        self._gateway = gateway

    @protocol.method(0)
    def info(self) -> dict[str, Any]:
        return {
            "apps": dict(self._gateway.show_apps()),
            "peers": dict(self._gateway.show_peers()),
        }

    @protocol.method(1, optional(text, ""))
    def peers(self, uuid: str) -> dict[str, Any]:
        return {"peers": _one(self._gateway.show_peers(), uuid)}

    @protocol.method(2, optional(text, ""))
    def apps(self, name: str) -> dict[str, Any]:
        return {"apps": _one(self._gateway.show_apps(), name)}


def _one(everything: Mapping[str, Any], key: str) -> dict[str, Any]:
    """All, or the one that is asked for: ``None`` if there is none."""
    return {key: everything.get(key)} if key else dict(everything)
