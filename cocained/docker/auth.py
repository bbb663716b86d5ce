# -*- test-case-name: cocained.test.test_docker_reference -*-
"""
Who we are to a registry.

The engine keeps nobody's password: each pull and push brings the credentials
along in a header, base64 of JSON.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import msgspec
from typing_extensions import override

from cocained.docker.reference import DEFAULT_REGISTRY, HUB_INDEX, Reference


class RegistryAuth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Credentials for one registry: a name and a password, or a token.

    :param username: as the registry knows it.
    :param password: or an access token that stands for it.
    :param identitytoken: of a registry that gives such after a login.
    :param registrytoken: a bearer token that the engine sends as it is.
    """

    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""

    @override
    def __repr__(self) -> str:
        return f"RegistryAuth(username={self.username!r}, …)"


class Credentials:
    """
    Credentials of several registries.

    :param known: by host and port, ``docker.io`` for Docker's own.
    """

    def __init__(self, known: Mapping[str, RegistryAuth] | None = None) -> None:
        self._known = dict(known or {})

    def header(self, reference: Reference, auth: RegistryAuth | None) -> str:
        """
        Write ``X-Registry-Auth``.

        :param reference: what is pulled or pushed.
        :param auth: goes before what is known.
        :returns: never empty: a push without the header is refused.
        """
        found = auth or self._known.get(reference.host)
        return _encode({} if found is None else _to_json(reference.host, found))

    def all(self) -> str:
        """Write ``X-Registry-Config``, from which a build takes what it needs."""
        return _encode(
            {_place(host): _to_json(host, auth) for host, auth in self._known.items()}
        )


def _place(host: str) -> str:
    return HUB_INDEX if host == DEFAULT_REGISTRY else host


def _to_json(host: str, auth: RegistryAuth) -> dict[str, str]:
    fields = {
        key: value for key, value in msgspec.structs.asdict(auth).items() if value
    }
    return {**fields, "serveraddress": _place(host)}


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
