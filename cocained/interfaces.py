# -*- test-case-name: cocained.test.test_conventions -*-
"""
Every contract of the project, one interface per role.

Plugins of eight kinds are found by *category* and *type* (plugins.md §1) and
built as ``factory(node, name, args)``: *node* is an :class:`INode`, *name* the
name under which the component is configured, *args* an instance of the
factory's ``Args`` (a ``msgspec.Struct``), already checked.

``docs/extending.rst`` shows one complete example of each kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
)
from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from cocained.errors import UnicornError
    from cocained.rpc.dispatch import Protocol
    from cocained.rpc.wire import Wiring

#: The kinds of plugins, in the order in which ``--plugins`` lists them.
CATEGORIES = (
    "service",
    "storage",
    "logger",
    "gateway",
    "isolate",
    "cluster",
    "driver",
    "unicorn",
)


#: Field of a log event: who speaks, such as ``app/echo``.
LOG_SOURCE = "cocaine_source"

#: Field of a log event: a list of ``(name, value)`` that came along.
LOG_ATTRIBUTES = "cocaine_attributes"


class IReactor(
    IReactorCore,
    IReactorFDSet,
    IReactorSocket,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IReactorUNIX,
):
    """
    What the node needs of a reactor: sockets, its own and made elsewhere, time,
    threads for the storage, and readable descriptors for the output and the end
    of child processes.
    """


class IPluginEntry(Interface):
    """
    The name of a plugin, as a dropin in ``twisted/plugins/`` lists it.

    An entry is light: importing it imports no plugin code.
    """

    category: str = Attribute("One of :data:`CATEGORIES`.")
    type: str = Attribute("The name used in configurations, such as ``files``.")
    dotted: str = Attribute("Dotted path of the factory, imported on demand.")


class IComponent(Interface):
    """Something that the node builds from its configuration."""

    name: str = Attribute("The name under which it is configured.")

    def start() -> Deferred[None] | None:
        """
        Begin to work; called once, after everything has been built.

        :returns: nothing, or a Deferred that fires when the component is
            ready.  A failure ends the start of the node.
        """

    def stop() -> Deferred[None] | None:
        """
        Let go of everything; called once, in the reverse order of start,
        also when :meth:`start` failed.

        :returns: nothing, or a Deferred that fires when nothing is left.
        """


class IExposure(Interface):
    """One who wants to know which services this node offers."""

    def service_exposed(
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
    ) -> None:
        """A service is reachable from now on."""

    def service_removed(name: str) -> None:
        """A service is no longer reachable."""


class Withdrawn(NamedTuple):
    """
    Where a service listens that is announced to nobody any more.

    :param own: whether it is one of the configuration, such as ``node``, and no app:
        those of other nodes are no substitute for it.
    """

    endpoints: Sequence[tuple[str, int]]
    version: int
    graph: Mapping[int, Any]
    own: bool


class IDirectory(Interface):
    """The services that this node offers, each on a port of its own."""

    def expose(
        name: str, service: IRemoteService, announce: bool = True
    ) -> Deferred[None]:
        """
        Listen for *service* and announce it.

        :param announce: whether observers are told; one that is not announced
            is only found by those who ask for its endpoints here.
        :returns: fires when the port is bound.
        :raises: the Deferred fails with ``CocainedError`` if the name is
            taken or no port can be bound.
        """

    def remove(name: str) -> Deferred[None]:
        """
        Stop to announce *name* and to accept connections for it.

        Connections that exist live on; an unknown name is no error.

        :returns: fires when the port is closed.
        """

    def subscribe(observer: IExposure) -> None:
        """Tell *observer* of every service there is and of each change."""

    def unsubscribe(observer: IExposure) -> None:
        """Tell *observer* nothing more."""

    def endpoints(name: str) -> Sequence[tuple[str, int]]:
        """Numeric addresses of an exposed service, empty if there is none."""

    def open_door(
        path: str,
        services: Iterable[str],
        inside: str | None = None,
        uid: int = -1,
        gid: int = -1,
    ) -> IDoor:
        """
        Let workers reach services through UNIX sockets, for want of a network.

        :param path: a directory to make; what a dead node has left there is
            replaced, and one that is in use gets a number behind it.  Short: a
            socket's path has at most 107 bytes.
        :param services: names of those that may be reached; the locator always
            can.  What comes later under these names can be, too.
        :param inside: how the workers see *path*, if otherwise.
        :param uid: owner of the sockets, -1 for the node's own user.
        :param gid: group that may use them, too; -1 for none.
        :raises cocained.errors.DoorError: it cannot be opened; says what to do.
        """

    def withdrawn(name: str) -> Withdrawn | None:
        """
        Say where a service listens that is announced to nobody any more.

        While the node drains, observers have been told that all services are
        gone, so that clients go elsewhere.  Whoever finds none elsewhere, such
        as a worker of this node, may still come here.

        :returns: ``None`` for a service that is announced, or that there is not.
        """

    has_shared: bool = Attribute(
        "Whether there is a range of ports, ``network.shared``, to reserve from."
    )

    def reserve(name: str) -> Sequence[tuple[str, int]]:
        """
        Keep a port of this node for what is no service of it.

        Nobody listens there, nothing is announced, and no one else gets it.

        :param name: for ``network.pinned``, and to give the port back.
        :returns: the port, at each address that the node announces.
        :raises cocained.errors.CocainedError: the name has one already, or
            there is none to be had.
        """

    def release(name: str) -> None:
        """Give a reserved port back; an unknown name is no error."""


class IDoor(Interface):
    """A directory with a UNIX socket for each service that may be reached there."""

    path: str = Attribute("The directory; absolute.")
    locator: str = Attribute(
        "What ``--locator`` says to those who are to come through this door, as they"
        " see it: ``PATH:0``, which those who know no such address take for an odd"
        " host."
    )

    def offer(
        name: str,
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        """
        Say where a service of this node is, for those who come through this door.

        :returns: endpoints, version and graph; the only endpoint is the path of the
            socket as they see it, and 0, where others have a port.  ``None`` if it
            cannot be reached here.
        """

    def admits(name: str) -> bool:
        """Whether a service of that name may be reached here, if there is one."""

    def close() -> Deferred[None]:
        """
        End all connections and remove the directory.

        :returns: fires when nothing is left; calling it again does no harm.
        """


class IBehindDoors(Interface):
    """What a service provides besides of which doors have something of their own."""

    def seen_from(door: IDoor, walled: bool) -> Any:
        """
        Give what is called through a door.

        :param walled: whether those who come are workers behind walls, which may be
            hostile: they must not gain anything over the node by it.
        :returns: has the ``protocol`` of this service and the methods that it
            declares, such as a :class:`cocained.rpc.view.View`.
        """


class INode(Interface):
    """What a plugin may use of the node that built it."""

    reactor: IReactor = Attribute("The reactor; the only source of time.")
    uuid: str = Attribute("Lower-case text, fresh for each start.")
    runtime: str = Attribute("Directory of worker sockets; absolute.")
    spool: str = Attribute("Directory under which app code is unpacked; absolute.")
    directory: IDirectory = Attribute("The services of this node.")
    wiring: Wiring = Attribute("What all connections of this node share.")
    patience: float = Attribute(
        "Seconds that workers have to end by themselves when the node stops."
    )

    def resolve(path: str) -> str:
        """Make a path of the configuration absolute: it starts at its file."""

    def storage(name: str) -> IStorage:
        """
        Give the storage configured as *name*.

        :raises cocained.errors.ConfigError: there is none.
        """

    def unicorn(name: str) -> IUnicorn:
        """
        Give the coordination backend configured as *name*.

        :raises cocained.errors.ConfigError: there is none.
        """

    def component(category: str, type: str, name: str, args: Any) -> Any:
        """
        Build a plugin, such as an isolate or a gateway.

        :param args: a mapping from a document; checked against the
            factory's ``Args``.
        :raises cocained.errors.PluginError: unknown or broken.
        :raises cocained.errors.ConfigError: the arguments do not fit.
        """

    def report() -> Mapping[str, Any]:
        """
        Say how the node is, for operators.

        :returns: ``uuid``, ``version``, ``uptime`` in seconds, ``state``
            (``serving``, ``draining`` or ``drained``), ``components`` (place in
            the configuration, such as ``services.node``, to the report of each
            that provides :class:`IReporter`), ``problems`` (sentences).
        """

    def progress() -> Mapping[str, Any]:
        """
        Say how far the drain of the node is.

        :returns: ``state``, as :meth:`report` has it; ``requests`` that run,
            ``apps`` that are on the node; ``seconds`` since the drain began, and
            ``settling``, those for which new requests are still served.
        """

    def drain(timeout: float | None = None) -> Deferred[None]:
        """
        Withdraw all services from clients and peers, then finish the requests.

        Asking again joins the drain that there is.

        :param timeout: seconds that requests have to finish, once no new ones
            are served; ``None`` is the configuration's ``shutdown.drain``.
        :returns: fires when no request is left.  Fails with
            :class:`cocained.errors.NotDrained` when they take longer, and the
            drain goes on, or when it is undone.  Cancelling it gives up the
            answer, not the drain.
        """

    def resume() -> Deferred[None]:
        """
        Undo a drain.

        :returns: fires when all services are announced again.
        """


class IReporter(Interface):
    """What a component may provide besides: how it is, for operators."""

    def report() -> Mapping[str, Any]:
        """
        Say what an operator may want to know; cheap, and of plain values.

        ``problem``, if it is there and not empty, is a sentence that says what
        is wrong and what to do about it; in maps inside the report, too.  Of a
        service ``requests``, if it is there, is how many it works on now.
        """


class IRemoteService(IComponent):
    """
    A service that can be called over the wire.

    Never Twisted's ``IService``.  Its methods are declared with
    :func:`cocained.rpc.dispatch.method`.
    """

    protocol: Protocol = Attribute("Version, graph and slots of the service.")

    def drain() -> Deferred[None] | None:
        """
        Finish what has been accepted and accept no more; called before
        :meth:`stop` when the node stops in order, or when it drains.

        :returns: nothing, or a Deferred that fires when nothing is left.
            Cancelling it gives up the wait.
        """


class IResumable(Interface):
    """What a service provides besides that its drain makes refuse something."""

    def resume() -> Deferred[None] | None:
        """
        Accept again what :meth:`IRemoteService.drain` made it refuse.

        :returns: nothing, or a Deferred that fires when it does.
        """


class IStorage(IComponent):
    """
    Blobs under (collection, key), findable by tags (protocol.md §4).

    Names are text; bytes that are no UTF-8 are carried by ``surrogateescape``.
    Operations of one caller take effect in the order in which they were asked.
    Every Deferred fails with :class:`cocained.errors.StorageError` and nothing
    else.  Cancelling one gives up the answer, not the operation.
    """

    def read(collection: str, key: str) -> Deferred[bytes]:
        """
        Give a blob.

        :returns: fires with the bytes; a missing object is ``ENOENT``.
        """

    def write(
        collection: str, key: str, blob: bytes, tags: Iterable[str] = ()
    ) -> Deferred[None]:
        """
        Store *blob* whole and for good, or not at all.

        :param tags: added to those that the object has already.
        :returns: fires when the object would survive a loss of power.
        """

    def remove(collection: str, key: str) -> Deferred[None]:
        """Delete an object; a missing one is no error."""

    def find(collection: str, tags: Iterable[str]) -> Deferred[list[str]]:
        """
        Give the keys that carry *all* of the tags, sorted by their bytes.

        :returns: fires with the keys; no tags or no such collection give an
            empty list.
        """


class IVersionedStorage(IStorage):
    """A storage that can tell cheaply whether an object has changed."""

    def version(collection: str, key: str) -> Deferred[str]:
        """
        Say which writing of an object this is, without reading the object.

        :returns: fires with text that is another one after each write that
            changed the object, on every node that shares the storage; a missing
            object is ``ENOENT``.
        """


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


class ILogger(IComponent):
    """A place where log events go; also a ``twisted.logger.ILogObserver``."""

    def __call__(event: Mapping[str, Any]) -> None:
        """Take one event.  Must not raise and must not block for long."""

    def reopen() -> None:
        """Open files anew, for log rotation."""


class IGateway(IComponent):
    """Answers where a remote service is (protocol.md §3.6)."""

    full: bool = Attribute(
        "Whether local and remote copies compete; else local ones come first."
    )

    def resolve(
        name: str, seed: str = ""
    ) -> tuple[Sequence[tuple[str, int]], int, Mapping[int, Any]] | None:
        """Pick one copy: endpoints, version and graph; ``None`` if unknown."""

    def consume(
        uuid: str,
        name: str,
        endpoints: Sequence[tuple[str, int]],
        version: int,
        graph: Mapping[int, Any],
        extra: Mapping[str, Any],
    ) -> None:
        """
        Learn that node *uuid* offers *name*.

        :raises cocained.errors.CocainedError: the announcement cannot be
            used, and the node that made it is dropped.
        """

    def cleanup(uuid: str, name: str | None = None) -> None:
        """Forget one service of a node, or all of them."""


class INodeObserver(Interface):
    """What a gateway may provide besides: it hears how other nodes are."""

    def node_observed(uuid: str, latency: float | None) -> None:
        """
        A node was asked for a sign of life.

        :param latency: seconds that its locator took to answer; ``None`` if it
            did not answer in time, and until it does again it had better not
            be chosen.
        """


class ILinks(Interface):
    """What a cluster plugin tells the locator."""

    uuid: str = Attribute("The uuid of this node.")

    def endpoints() -> Sequence[tuple[str, int]]:
        """Numeric addresses of this node's locator."""

    def link(uuid: str, endpoints: Sequence[tuple[str, int]]) -> None:
        """
        Link to that node's locator, unless it is linked already.

        Once linked it stays so until :meth:`drop`: what is lost comes back by
        itself.  Other endpoints than before move the link.  What cannot be is
        logged and ignored, and so is this very node; without a gateway nobody is
        linked.

        :param endpoints: host names or numeric addresses with their ports.
        """

    def drop(uuid: str) -> None:
        """Forget that node; an unknown one is no error."""


class ICluster(IComponent):
    """Finds peer nodes (protocol.md §3.7)."""

    def attach(links: ILinks) -> None:
        """Take the object to report to; called once before :meth:`start`."""


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
