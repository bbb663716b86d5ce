# -*- test-case-name: cocained.test.test_docker_errors -*-
"""
What can go wrong between us and an engine.

Each error says what was asked, of which engine, what came instead in the
engine's own words, and what to do about it::

    IsolateError
    ├── InvalidAddress        the address in a configuration
    ├── InvalidName           the name of an image or a container
    ├── MalformedStream       bytes that are no stream of an engine's
    └── DockerError           the rest: all know what was asked, and of whom
        ├── Unauthorized, NotFound, Conflict      by the answer's status
        ├── ImageError        said inside an answer that began well
        ├── EngineUnreachable, EngineLost         no answer, or half of one
        ├── DockerTimeout
        └── MalformedAnswer, UnsupportedEngine
"""

from __future__ import annotations

import errno

from cocained.errors import IsolateError


class InvalidAddress(IsolateError):
    """An address that names no engine, or certificates that cannot be used."""


class InvalidName(IsolateError):
    """A name that no image, tag or container can have."""


class MalformedStream(IsolateError):
    """Bytes that do not follow the rules of an engine's streams."""


class DockerError(IsolateError):
    """
    An engine did not do what it was asked.

    :param message: the engine's own words, or ours if it said nothing.
    :param asked: what was to be done, such as ``pull busybox:latest``.
    :param engine: its address.
    :param status: of the HTTP answer, 0 if it was not that.
    :param remedy: what to do; the class has one when this is empty.
    """

    #: What usually helps, in a few words.
    remedy = ""

    def __init__(
        self,
        message: str,
        *,
        asked: str = "",
        engine: str = "",
        status: int = 0,
        remedy: str = "",
    ) -> None:
        self.message = message.strip()
        self.asked = asked
        self.engine = engine
        self.status = status
        self.remedy = remedy or self.remedy
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        place = f"the engine at {self.engine}" if self.engine else "the engine"
        what = f"cannot {self.asked}" if self.asked else "a call failed"
        status = f"{self.status} " if self.status else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return f"{what}: {place}: {status}{self.message}{remedy}"


class Unauthorized(DockerError):
    """The engine or the registry wants to know who we are (401, 403)."""

    code = errno.EACCES
    remedy = "check the credentials of that registry, and what they allow"


class NotFound(DockerError):
    """There is no such image or container (404)."""

    code = errno.ENOENT
    remedy = "check the name; it may also have been removed meanwhile"


class Conflict(DockerError):
    """It is in another state than the call needs (409)."""

    code = errno.EBUSY
    remedy = "its present state does not allow this: inspect it, then try again"


class ImageError(DockerError):
    """A pull, push, build or import failed after it had begun."""

    code = errno.EIO
    remedy = "see what was printed before, and the engine's log"


class EngineUnreachable(DockerError):
    """Nobody answers at that address."""

    code = errno.ECONNREFUSED
    remedy = "start the engine, or correct its address"


class EngineLost(DockerError):
    """The connection ended before the answer did."""

    code = errno.ECONNRESET
    remedy = "see whether the engine was restarted, then try again"


class DockerTimeout(DockerError):
    """The engine took longer than it was given."""

    code = errno.ETIMEDOUT
    remedy = "see whether the engine is overloaded, or allow it more time"


class MalformedAnswer(DockerError):
    """What came is not what an engine answers, or more than we take."""

    code = errno.EPROTO
    remedy = "check that a Docker Engine listens there"


class UnsupportedEngine(DockerError):
    """The engine and this client have no version of the API in common."""

    code = errno.EPROTONOSUPPORT
    remedy = "use a Docker Engine of 1.12 or later"


#: What an answer's status means; others are plain :class:`DockerError`.
BY_STATUS: dict[int, type[DockerError]] = {
    401: Unauthorized,
    403: Unauthorized,
    404: NotFound,
    409: Conflict,
}


#: What an engine answers to a request without TLS where it wants TLS, in the
#: words of the HTTP server of its language.
WANTS_TLS = "HTTP request to an HTTPS server"


def refusal(status: int, message: str, asked: str, engine: str) -> DockerError:
    """
    Make the error that an answer stands for.

    :param status: of the answer, 400 and above.
    :param message: what its body says.
    :param asked: what was to be done.
    :param engine: its address.
    """
    kind = BY_STATUS.get(status, DockerError)
    remedy = "write https://, or give ca, cert and key" if WANTS_TLS in message else ""
    return kind(message, asked=asked, engine=engine, status=status, remedy=remedy)
