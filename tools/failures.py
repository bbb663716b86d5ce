# -*- test-case-name: cocained.test.test_tools_failures -*-
"""
What goes wrong, said so that one knows what to do next.

Exit statuses (tools.md §1): 0 done, 1 aborted, 2 wrong usage, 22 a bad value,
64 options that exclude each other, 128 everything that a service, the
connection or the tool itself reports.  Ours is 3: done, but the node is troubled.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cocained.errors import Category, CocainedError, LocatorCode, RemoteError

EXIT_DONE = 0
EXIT_ABORTED = 1
EXIT_USAGE = 2
EXIT_TROUBLED = 3
EXIT_BAD_VALUE = 22
EXIT_EXCLUSIVE = 64
EXIT_FAILED = 128

#: Most names that a message lists.
NAMES_SHOWN = 10


class ToolError(Exception):
    """
    Something that the tool itself refuses or misses.

    :param message: what is wrong.
    :param hint: what to do about it.
    """

    status = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadValue(ToolError):
    """A value that cannot be used."""

    status = EXIT_BAD_VALUE


class Exclusive(ToolError):
    """Options that exclude each other."""

    status = EXIT_EXCLUSIVE


class Unreachable(ToolError):
    """
    The locator cannot be reached.

    :param address: where it was sought.
    :param reason: what happened.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"cannot reach the locator at {address}: {reason}",
            "is the node running? Start it with `twistd cocained -c node.yaml`,"
            " or name another one with --host and --port",
        )


class ServiceError(ToolError):
    """
    What a service reported, with its name.

    :param service: who reported it.
    :param error: what.
    :param hint: what to do about it.
    """

    def __init__(self, service: str, error: CocainedError, hint: str = "") -> None:
        category, code = int(error.category), int(error.code)
        super().__init__(
            f'Error in service "{service}" - {error.reason} [{category}, {code}]', hint
        )
        self.service = service
        self.category = category
        self.code = code
        self.reason = error.reason


class Missing(ToolError):
    """
    Something of that name does not exist.

    :param noun: what kind of thing, such as ``profile``.
    :param name: what was asked for.
    :param names: what there is.
    :param where: the command that lists them.
    """

    def __init__(self, noun: str, name: str, names: Iterable[str], where: str) -> None:
        self.names = sorted(names)
        near = difflib.get_close_matches(name, self.names, 3)
        shown = ", ".join(self.names[:NAMES_SHOWN])
        if near:
            hint = f"did you mean {' or '.join(near)}? `{where}` shows all"
        elif len(self.names) > NAMES_SHOWN:
            hint = f"there are {shown} and others, `{where}` shows all"
        elif shown:
            hint = f"there are: {shown}"
        else:
            hint = f"there are none yet; `{where}` shows them"
        super().__init__(f"{noun} '{name}' does not exist", hint)
        self.name = name


def need(value: str | None, what: str, flag: str) -> str:
    """
    Demand an option that a command cannot do without.

    :raises BadValue: it is missing or empty.
    """
    if not value:
        raise BadValue(f"the {what} is missing", f"give it with {flag}")
    return value


@dataclass(frozen=True)
class Report:
    """An error as it is shown."""

    status: int
    message: str
    hint: str = ""
    category: int | None = None
    code: int | None = None
    service: str = ""

    def to_json(self) -> dict[str, Any]:
        """The document that ``--json`` prints."""
        fields: dict[str, Any] = {"message": self.message, "status": self.status}
        for name in ("hint", "category", "code", "service"):
            if (value := getattr(self, name)) not in (None, ""):
                fields[name] = value
        return {"error": fields}


def report(error: BaseException) -> Report:
    """Say how *error* is shown, and with which status the tool ends."""
    if isinstance(error, ServiceError):
        return Report(
            error.status,
            error.message,
            error.hint,
            error.category,
            error.code,
            error.service,
        )
    if isinstance(error, ToolError):
        return Report(error.status, error.message, error.hint)
    if isinstance(error, CocainedError):
        return Report(EXIT_FAILED, str(error), "", int(error.category), int(error.code))
    if isinstance(error, ValueError):
        return Report(EXIT_BAD_VALUE, str(error))
    return Report(
        EXIT_FAILED,
        f"{type(error).__name__}: {error}",
        "this is a bug of the tool; -v shows where it happened",
    )


def is_unknown_service(error: BaseException | None) -> bool:
    """Whether a locator said that it knows no such service."""
    return isinstance(error, RemoteError) and (error.category, error.code) == (
        Category.LOCATOR,
        LocatorCode.SERVICE_NOT_AVAILABLE,
    )
