# -*- test-case-name: tests.test_options -*-
"""
What can go wrong, under the names of the published framework.

Timeouts are Python's own :exc:`TimeoutError`, on both loops.
"""

#: The category in which frameworks report (protocol.md 2.3).
CATEGORY = 42
EUNCAUGHTEXCEPTION = 100
ENOHANDLER = 200
EINVFAILED = 212
ESRVDISCON = 220
EINVALIDAPIVERSION = 230
EINVALIDMESSAGETYPE = 240


class CocaineError(Exception):
    """The root of everything this framework raises by itself."""


class ServiceError(CocaineError):
    """
    A service answered with an error.

    :ivar service: the name of the service
    :ivar reason: the text the service gave; may be empty
    :ivar code: the code within the category, any signed integer
    :ivar category: the category, 42 for errors that frameworks made
    """

    def __init__(
        self, service: str, reason: str, code: int, category: int = CATEGORY
    ) -> None:
        super().__init__(service, reason, code, category)
        self.service = service
        self.servicename = service
        self.reason = reason
        self.code = code
        self.category = category

    def __str__(self) -> str:
        return (
            f"service {self.service!r}: {self.reason or 'no reason given'} "
            f"[{self.category}, {self.code}]"
        )


class DisconnectionError(ServiceError):
    """
    The connection ended before the answer, or could not be made.

    Nothing is repeated by the framework: the request may or may not have been
    carried out. The next call resolves and connects again.
    """

    def __init__(self, service: str, reason: str = "the connection was lost") -> None:
        super().__init__(service, reason, ESRVDISCON)
        self.args = (service, reason)


class InvalidApiVersion(ServiceError):
    """
    The service has another version than the one asked for.

    :ivar expected: the version given to `Service`
    :ivar found: the version the locator reported
    """

    def __init__(self, service: str, expected: int, found: int) -> None:
        super().__init__(
            service,
            f"version {found} is running, {expected} was asked for; "
            "pass version=0 to accept any",
            EINVALIDAPIVERSION,
        )
        self.args = (service, expected, found)
        self.expected = expected
        self.found = found


class InvalidMessageType(ServiceError):
    """A service sent a message that its own graph does not allow."""

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(service, reason, EINVALIDMESSAGETYPE)
        self.args = (service, reason)


class UnknownMethod(CocaineError, AttributeError):
    """The service has no method of that name."""


class ChokeEvent(CocaineError):
    """There is nothing more to read, or the writing half is closed."""

    def __init__(self, reason: str = "the stream has ended") -> None:
        super().__init__(reason)


class RequestError(CocaineError):
    """
    The client ended its half of a request with an error, or disappeared.

    :ivar category: the category of the error; 0 with worker protocol 0
    :ivar code: the code within the category
    :ivar reason: the text that came with it
    """

    def __init__(self, category: int, code: int, reason: str) -> None:
        super().__init__(category, code, reason)
        self.category = category
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.reason or 'request failed'} [{self.category}, {self.code}]"


class ProtocolError(CocaineError):
    """The peer sent bytes that are not the protocol; the connection is given up."""


class OverrunError(CocaineError):
    """More data is waiting than the framework is willing to keep."""


class Cancelled(CocaineError):
    """The future was cancelled before it had a result."""


class ConfigurationError(CocaineError):
    """The command line of the worker is missing something or is malformed."""
