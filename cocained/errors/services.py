# -*- test-case-name: cocained.test.test_errors -*-
"""
What services cannot do.
"""

from __future__ import annotations

import errno
import os

from cocained.errors.base import CocainedError
from cocained.errors.codes import Category, LocatorCode


class ServiceNotAvailable(CocainedError):
    """The locator knows no service of that name."""

    category = Category.LOCATOR
    code = LocatorCode.SERVICE_NOT_AVAILABLE

    def __init__(self, reason: str = "service is not available") -> None:
        super().__init__(reason)


class StorageError(CocainedError):
    """
    A storage could not do what was asked.

    :param code: an ``errno`` value; travels as ``[12, code]``.
    :param reason: usually ``<place>: <text of the code>``.
    """

    category = Category.GENERIC

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code

    @classmethod
    def from_os_error(cls, error: OSError, place: str) -> StorageError:
        """Keep the code of *error*; name *place* as the reference does (S1)."""
        code = error.errno or errno.EIO
        return cls(code, f"{place}: {os.strerror(code)}")


class Forbidden(CocainedError):
    """Something that is there, and is not for the one who asks."""

    code = errno.EACCES


class NotDrained(CocainedError):
    """
    The node has not come to rest.

    :param reason: why, and what to do about it.
    :param code: ``ETIMEDOUT``, or ``ECANCELED`` if the drain was undone.
    """

    def __init__(self, reason: str, code: int = errno.ETIMEDOUT) -> None:
        super().__init__(reason)
        self.code = code
