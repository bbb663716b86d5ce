# -*- test-case-name: cocained.test.test_docker_models -*-
"""
Which version of the API to speak; pure.
"""

from __future__ import annotations

import re

from cocained.docker.errors import UnsupportedEngine
from cocained.docker.models import Version

#: The newest that this client was written for: Docker 25.
NEWEST = (1, 44)

#: The oldest: Docker 1.12.
OLDEST = (1, 24)

_VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def negotiate(version: Version, engine: str) -> str:
    """
    Choose the newest version that both sides speak.

    :param version: what the engine says of itself.
    :param engine: its address, for the message.
    :returns: such as ``1.41``.
    :raises UnsupportedEngine: there is none.
    """
    newest = _parse(version.api_version, engine)
    oldest = _parse(version.min_api_version, engine) if version.min_api_version else ()
    chosen = min(NEWEST, newest)
    asked = "agree on a version of the API"
    if chosen < OLDEST:
        raise UnsupportedEngine(
            f"it speaks at most {version.api_version}, and this client at least "
            f"{_text(OLDEST)}",
            asked=asked,
            engine=engine,
        )
    if oldest > chosen:
        raise UnsupportedEngine(
            f"it speaks at least {version.min_api_version}, and this client at most "
            f"{_text(NEWEST)}",
            asked=asked,
            engine=engine,
            remedy="use a newer release of this program, or set the engine's "
            f"DOCKER_MIN_API_VERSION to {_text(NEWEST)}",
        )
    return _text(chosen)


def _parse(text: str, engine: str) -> tuple[int, ...]:
    match = _VERSION.fullmatch(text)
    if not match:
        raise UnsupportedEngine(
            f"its version of the API is {text[:80]!r}, which is none",
            asked="agree on a version of the API",
            engine=engine,
            remedy="check that a Docker Engine listens there",
        )
    return tuple(map(int, match.groups()))


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
