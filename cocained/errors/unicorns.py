# -*- test-case-name: cocained.test.test_errors -*-
"""
What a coordination backend cannot do (plugins.md §4.1).
"""

from __future__ import annotations

import errno

from cocained.errors.base import CocainedError
from cocained.errors.codes import Category, UnicornCode


class UnicornError(CocainedError):
    """A coordination backend could not do what was asked."""

    category: int = Category.UNICORN
    code: int = UnicornCode.BACKEND_INTERNAL


class ChildNotAllowed(UnicornError):
    """The node has children, and this is for nodes without."""

    code = UnicornCode.CHILD_NOT_ALLOWED


class InvalidType(UnicornError):
    """A number was needed and there is none."""

    code = UnicornCode.INVALID_TYPE


class InvalidValue(UnicornError):
    """A value that cannot be stored, or bytes that are no value."""

    code = UnicornCode.INVALID_VALUE


class InvalidNodeName(UnicornError):
    """A lock's path has children that are no locks."""

    code = UnicornCode.INVALID_NODE_NAME


class InvalidPath(UnicornError):
    """Text that is no path of a node."""

    code = UnicornCode.INVALID_PATH


class VersionNotAllowed(UnicornError):
    """A version that no node has, or that this node has no longer."""

    code = UnicornCode.VERSION_NOT_ALLOWED


class NoNode(UnicornError):
    """There is no node at that path, or no longer."""

    code = UnicornCode.NO_NODE


class NodeExists(UnicornError):
    """There is a node at that path already."""

    code = UnicornCode.NODE_EXISTS


class ConnectionLoss(UnicornError):
    """
    The backend cannot be reached, or its session has ended.

    Whether a change that failed so took effect is unknown.
    """

    code = UnicornCode.CONNECTION_LOSS


class UnicornBusy(UnicornError):
    """As much is going on as may; nothing was done, and later it may be."""

    category = Category.GENERIC
    code = errno.EAGAIN
