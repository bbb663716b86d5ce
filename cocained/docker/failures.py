# -*- test-case-name: cocained.test.test_docker_failures -*-
"""
Says what has happened when no answer came: one table from Twisted's errors, and
the system's, to ours.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import msgspec
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    UnknownHostError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.python.failure import Failure

# What is not HTTP fails with this; there is no public name for it.
from twisted.web._newclient import ParseError

from cocained.docker.address import Address
from cocained.docker.errors import (
    DockerError,
    DockerTimeout,
    EngineLost,
    EngineUnreachable,
    MalformedAnswer,
    MalformedStream,
)
from cocained.docker.tls import is_tls_error, tls_failure

#: Signs shown of an answer that is not JSON.
SHOWN = 500

#: What to do about an address where nobody answers.
REMEDIES = {
    errno.ENOENT: "there is no such socket: start the engine, or correct its address",
    errno.ECONNREFUSED: "start the engine, or correct its address",
    errno.EACCES: "this user may not use the socket: add it to the socket's group, "
    "which is docker as a rule",
}


def value_of(failure: Failure) -> BaseException:
    """Give the error of a failure, which Twisted's types say may be missing."""
    error = failure.value
    return error if error is not None else RuntimeError("an empty failure")


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Give the errors inside an error: the HTTP client wraps them in layers."""
    reasons = getattr(error, "reasons", None)
    if isinstance(reasons, list) and reasons:
        for reason in reasons:
            yield from leaves(
                value_of(reason) if isinstance(reason, Failure) else reason
            )
    else:
        yield error


def explain(error: BaseException, asked: str, address: Address) -> BaseException:
    """
    Turn what a call failed with into an error of our tree.

    :param asked: what was to be done.
    :returns: the error to raise; what is no failure of a connection, such as a
        file that cannot be read or the error of a callback, comes back as it is.
    """
    if isinstance(error, DockerError):
        return error
    engine = str(address)
    inner = list(leaves(error))
    for each in inner:
        if isinstance(each, CancelledError | ConnectingCancelledError):
            return CancelledError()
        if isinstance(each, MalformedStream | ParseError):
            return MalformedAnswer(str(each), asked=asked, engine=engine)
        if is_tls_error(each):
            return tls_failure(each, asked, address)
    for each in inner:
        if isinstance(each, ConnectError | DNSLookupError | UnknownHostError):
            return _unreachable(each, asked, engine)
        if isinstance(each, TimeoutError):
            return DockerTimeout(str(each), asked=asked, engine=engine)
    if any(isinstance(each, ConnectionClosed) for each in inner) or inner != [error]:
        words = "; ".join(str(each) or type(each).__name__ for each in inner)
        return EngineLost(
            f"the connection ended before the answer: {words}",
            asked=asked,
            engine=engine,
        )
    return error


def _unreachable(error: BaseException, asked: str, engine: str) -> DockerError:
    number = getattr(error, "osError", None)
    if isinstance(error, ConnectTimeoutError):
        return EngineUnreachable(
            "nobody accepted the connection in time",
            asked=asked,
            engine=engine,
            remedy="see whether the machine is up and a firewall lets us through",
        )
    if isinstance(error, DNSLookupError | UnknownHostError):
        remedy = "the name of the host is not known: correct the address"
    else:
        remedy = REMEDIES.get(number, "") if isinstance(number, int) else ""
    return EngineUnreachable(str(error), asked=asked, engine=engine, remedy=remedy)


class _Refusal(msgspec.Struct):
    message: str


def words_of(body: bytes, phrase: bytes) -> str:
    """
    Give what an engine says in an answer of 400 and above.

    :param body: JSON with a ``message``, or plain text.
    :param phrase: of the status line, for an empty body.
    """
    try:
        text = msgspec.json.decode(body, type=_Refusal).message
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode(errors="replace")[:SHOWN]
    return text.strip() or phrase.decode(errors="replace")
