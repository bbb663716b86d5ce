# -*- test-case-name: cocained.test.test_docker_transport -*-
"""
One request, before anything is sent.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer
from typing_extensions import override

#: What a parameter may be; lists become several, ``None`` none.
Parameter = str | int | bool | Sequence[str] | None

JSON, TAR = "application/json", "application/x-tar"


@dataclass(frozen=True, slots=True)
class Request:
    """
    What to ask of an engine.

    :param asked: the same for people, such as ``start container 'x'``.
    :param method: ``GET``, ``POST`` or ``DELETE``.
    :param path: of the resource, parts of it quoted by :func:`quoted`.
    :param query: parameters.
    :param headers: further ones.
    :param body: bytes, or a file that is read while it is sent.
    :param content_type: of the body.
    :param timeout: seconds for the answer, or for its beginning if it is
        streamed; ``None`` is what the transport has, 0 no limit.
    :param versioned: whether to say which version of the API this is.
    """

    asked: str
    method: str
    path: str
    query: Mapping[str, Parameter] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None
    content_type: str = JSON
    timeout: float | None = None
    versioned: bool = True

    def target(self, version: str) -> str:
        """
        Give path and query.

        :param version: of the API.
        """
        prefix = f"/v{version}" if self.versioned else ""
        query = urlencode(
            [pair for key, value in self.query.items() for pair in _pairs(key, value)]
        )
        return f"{prefix}{self.path}{'?' if query else ''}{query}"


def _pairs(key: str, value: Parameter) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [(key, "1" if value else "0")]
    if isinstance(value, str | int):
        return [(key, str(value))]
    return [(key, each) for each in value]


def quoted(name: str) -> str:
    """Make a name a part of a path; engines want the slashes of images as such."""
    return quote(name, safe="/:@")


def to_json(value: Any) -> bytes:
    """Write a body."""
    return json.dumps(value).encode()


def to_filters(filters: Mapping[str, Sequence[str]]) -> str | None:
    """Write filters as engines read them, or nothing if there are none."""
    if not filters:
        return None
    return json.dumps({key: list(each) for key, each in filters.items()})


def label_filters(labels: Mapping[str, str | None]) -> Mapping[str, Sequence[str]]:
    """
    Make a filter of labels.

    :param labels: name to value, or to ``None`` for any value.
    """
    wanted = [
        name if value is None else f"{name}={value}" for name, value in labels.items()
    ]
    return {"label": wanted} if wanted else {}


class Upload(FileBodyProducer):
    """
    Sends a file in pieces, while the reactor has nothing else to do.

    :param reactor: gives time for it.
    :param body: what to send; a file must not become shorter meanwhile.
    :raises OSError: the file cannot be opened.
    """

    def __init__(self, reactor: IReactorTime, body: bytes | Path) -> None:
        file: BinaryIO = (
            io.BytesIO(body) if isinstance(body, bytes) else body.open("rb")
        )
        self._file = file
        self._is_started = False
        cooperator = Cooperator(scheduler=lambda call: reactor.callLater(0, call))
        super().__init__(file, cooperator)  # type: ignore[no-untyped-call]

    @override
    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._is_started = True
        sending: Deferred[None] = super().startProducing(  # type: ignore[no-untyped-call]
            consumer
        )
        return sending

    def close(self) -> None:
        """Send no more, and close the file; also when nothing was sent."""
        if self._is_started:
            self.stopProducing()  # type: ignore[no-untyped-call]
        else:
            self._file.close()
