# -*- test-case-name: cocained.test.test_conventions -*-
"""
Apps: what drives them, and what runs their workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

from cocained.interfaces.plugins import IComponent


class IEventSink(Interface):
    """An app, as a driver sees it."""

    def enqueue(event: bytes, chunks: Iterable[bytes]) -> Deferred[list[bytes]]:
        """
        Run one event through the app.

        :returns: fires with the chunks of the answer, or fails as a client's
            request would.
        """


class IDriver(IComponent):
    """Turns outside happenings into events of one app."""

    def attach(app: IEventSink) -> None:
        """Take the app; called once before :meth:`start`."""

    def info() -> Mapping[str, Any]:
        """Say what is going on, for the app's report."""


class IWorkerObserver(Interface):
    """Who hears of one worker's process."""

    def output(data: bytes) -> None:
        """The worker wrote to its standard output or error."""

    def exited(reason: str, error: bool) -> None:
        """
        The worker is gone and has been collected; called exactly once.

        :param reason: for people, such as ``exited with status 1`` or
            ``killed by SIGKILL``.
        :param error: whether that was abnormal.
        """


class IWorkerHandle(Interface):
    """One running worker, as its isolate sees it."""

    identity: str = Attribute("For people: a process or container id.")

    def terminate() -> None:
        """
        Ask the worker and all that it started to end, then make them.

        Returns at once; :meth:`IWorkerObserver.exited` tells the end.
        Calling it again does no harm.
        """

    def kill() -> None:
        """Make the worker and all that it started end now."""

    def usage() -> Mapping[str, float] | None:
        """
        Say what the worker takes now; cheap, and only asked when needed.

        :returns: what is known of ``memory`` in bytes, ``cpu`` in seconds
            since its start, ``processes``; ``None`` if nothing is, or if the
            worker has ended.
        """


class ISpoolProgress(Interface):
    """What an isolate may provide besides: how far its spooling is."""

    progress: Mapping[str, Any] | None = Attribute(
        "``text`` for people and, if it is known, ``percent``, 0 to 100; ``None``"
        " while there is nothing to tell.  Cheap; ``info`` shows it."
    )


class ICodeVersion(Interface):
    """
    What an isolate may provide besides: which code it would give to workers.

    Without it, only a change of an app's documents is a new version of the app.
    """

    def code_version() -> Deferred[str]:
        """
        Say which code :meth:`IIsolate.spool` would prepare now.

        Asked now and then while the isolate serves, and before it is spooled;
        cheap, which means that the code itself is not fetched.

        :returns: fires with text that is another one after each change, and the
            same on every node that gets its code from the same place; fails as
            ``spool`` does.
        """


class IIsolate(IComponent):
    """
    The means to run the workers of one app; *name* is the app's name.

    One object serves all workers of one release of an app, from its start to its
    stop.  While a new version takes over, the objects of two releases are in use:
    neither may take from the other what its workers need.
    """

    def spool() -> Deferred[None]:
        """
        Prepare the app's code, once, before the first worker.

        :returns: fires when workers can be spawned; fails with
            :class:`cocained.errors.SpoolError` or ``StorageError``.
            Cancelling it gives up and leaves nothing behind.
        """

    def spawn(
        executable: str,
        arguments: Mapping[str, str],
        environment: Mapping[str, str],
        observer: IWorkerObserver,
    ) -> Deferred[IWorkerHandle]:
        """
        Start one worker.

        :param executable: the manifest's ``slave``, relative to the spooled
            code or absolute.
        :param arguments: passed as pairs in alphabetical order
            (protocol.md §8.1); ``--endpoint`` names a UNIX socket on this
            machine, which the isolate makes reachable for the worker.
        :param environment: added to what the isolate gives by itself.
        :param observer: hears of output and of the end; never called before
            the Deferred has fired.
        :returns: fires with the handle as soon as the worker's program runs;
            fails with :class:`cocained.errors.SpawnError`.  Cancelling it
            leaves no worker behind.
        """
