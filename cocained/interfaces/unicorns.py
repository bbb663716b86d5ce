# -*- test-case-name: cocained.test.test_conventions -*-
"""
Coordination: values, watches and locks that nodes share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from zope.interface import Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cocained.errors import UnicornError
from cocained.interfaces.plugins import IComponent


class Versioned(NamedTuple):
    """
    What a node of a unicorn holds.

    :param value: see :class:`IUnicorn`; ``None`` also where there is no node.
    :param version: how often it was written since it was made; -1 where there
        is no node.
    """

    value: Any
    version: int


class Children(NamedTuple):
    """
    What is right below a node of a unicorn.

    :param version: counts the children that came and went.
    :param names: sorted, without their path.
    """

    version: int
    names: Sequence[str]


class IUnicornObserver(Interface):
    """Who hears of a subscription or a lock.  Never called within the request."""

    def observed(state: Any) -> None:
        """
        Learn how things are now.

        :param state: a :class:`Versioned`, a :class:`Children`, or ``True``
            when the lock is held.  Of states that follow each other closely
            only the last need be told.
        """

    def failed(error: UnicornError) -> None:
        """It is over: nothing more is told, and a lock is not held any longer."""


class IScope(Interface):
    """A subscription or a lock, for as long as somebody wants it."""

    def close() -> None:
        """
        Give it up: nothing more is told, a lock that is held or waited for is
        let go, also one of which the request is still under way.  Returns at
        once; calling it again does no harm.
        """


class IUnicorn(IComponent):
    """
    Coordination: small values in a tree, watches and locks (plugins.md §4.1).

    A path is text such as ``/a/b``.  Values are what msgpack knows: ``None``,
    booleans, numbers, text (given back as bytes), bytes, lists, maps (given back
    as :class:`cocained.rpc.codec.Pairs`).

    Every Deferred fails with :class:`cocained.errors.UnicornError` and nothing
    else: ``InvalidPath`` for a path that cannot be, ``ConnectionLoss`` when the
    backend does not answer in time.  Cancelling one gives up the answer: a change
    that has begun takes place, but an ephemeral node is deleted again.
    """

    def get(path: str) -> Deferred[Versioned]:
        """
        Give a node's value.

        :returns: fires with ``(None, -1)`` if there is no node; fails with
            ``ChildNotAllowed`` for one with children, ``InvalidValue`` for bytes
            that are no msgpack.
        """

    def put(path: str, value: Any, version: int) -> Deferred[tuple[bool, Versioned]]:
        """
        Replace the value of a node if it still has that version.

        :returns: fires with whether it had, and what the node holds now; fails
            with ``NoNode``, or ``VersionNotAllowed`` for a negative version.
        """

    def create(
        path: str, value: Any, ephemeral: bool = False, sequence: bool = False
    ) -> Deferred[str]:
        """
        Make a node, and the nodes above it that are missing.

        :param ephemeral: it goes away with this backend's session.
        :param sequence: ten digits that grow are put behind the path.
        :returns: fires with the path of the node; fails with ``NodeExists``.
        """

    def remove(path: str, version: int) -> Deferred[None]:
        """
        Delete a node without children.

        :param version: that it must have; -1 for any.
        :returns: fails with ``NoNode``, ``VersionNotAllowed``, or
            ``UnicornError`` for a node with children.
        """

    def increment(path: str, value: Any) -> Deferred[Versioned]:
        """
        Add a number to a node, which is made if it is missing.

        :returns: fires with the sum; fails with ``InvalidType`` if either is no
            number, ``ChildNotAllowed``, ``NoNode`` if there is nothing above it,
            ``VersionNotAllowed`` if somebody else was faster.
        """

    def subscribe(path: str, observer: IUnicornObserver) -> IScope:
        """
        Tell *observer* what a node holds, now and after each change.

        A node that does not exist yet is ``(None, -1)``.  The end is ``NoNode``
        when it is deleted, ``ChildNotAllowed`` when it gets children,
        ``ConnectionLoss`` at any trouble with the session.
        """

    def children_subscribe(path: str, observer: IUnicornObserver) -> IScope:
        """Tell *observer* of the children of a node that exists."""

    def lock(path: str, observer: IUnicornObserver, value: Any = ...) -> IScope:
        """
        Wait in the queue of those who want a lock.

        :param value: others can read it below the path; the time in seconds
            since 1970 unless it is given.
        """
