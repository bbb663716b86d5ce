# -*- test-case-name: cocained.test.test_errors -*-
"""
The root of all errors, and how an error travels.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

from cocained.errors.codes import Category, DispatchCode


class WireError(NamedTuple):
    """An error as it travels: ``[[category, code], reason]``."""

    category: int
    code: int
    reason: str


class CocainedError(Exception):
    """Root of everything this project raises on purpose."""

    category: int = Category.GENERIC
    code: int = errno.EINVAL

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


def to_wire(error: BaseException) -> WireError:
    """
    Say how *error* travels.

    :param error: anything that was raised while a request was served.
    :returns: its triple.  What is not ours goes out as ``[7, 7]`` with its
        text, as the original does for exceptions of no category.
    """
    if isinstance(error, CocainedError):
        return WireError(int(error.category), int(error.code), error.reason)
    if isinstance(error, OSError) and error.errno:
        return WireError(Category.GENERIC, error.errno, str(error))
    return WireError(
        Category.DISPATCH,
        DispatchCode.UNCAUGHT,
        str(error) or "uncaught invocation exception",
    )
