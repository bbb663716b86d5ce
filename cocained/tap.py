# -*- test-case-name: cocained.test.test_tap -*-
"""
``twistd cocained``: options, and the service they describe.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, cast

from twisted.application.service import IService
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from cocained.config import load
from cocained.errors import CocainedError
from cocained.interfaces import IReactor
from cocained.node import Node
from cocained.repository import Repository

log = Logger()


class Options(usage.Options):
    """Runs one node of an app engine."""

    synopsis = "[options] -c node.yaml"

    optParameters = [  # noqa: N815 - Twisted's name
        [
            "configuration",
            "c",
            None,
            "File that describes the node, YAML or the original's JSON.",
        ],
    ]

    optFlags = [  # noqa: N815 - Twisted's name
        ["check", None, "Check the configuration, say what is wrong, and exit."],
        ["plugins", None, "List all plugins and what is wrong with them, and exit."],
    ]

    @override
    def postOptions(self) -> None:
        if self["plugins"]:
            raise SystemExit(list_plugins())
        if not self["configuration"]:
            raise usage.UsageError(
                "which node? name its file: twistd cocained -c node.yaml"
            )
        if self["check"]:
            raise SystemExit(check(self["configuration"]))
        parent = self.parent
        if parent is not None and not any(
            parent.get(option) for option in ("logger", "logfile", "syslog")
        ):
            parent["logger"] = "cocained.tap.observer"


@implementer(ILogObserver)
class LateObserver:
    """
    Passes log events on to the node's loggers, once there is a node.

    ``twistd`` wants a log observer by its dotted name, and before it builds
    the service whose configuration says where the log goes.
    """

    target: Callable[[Mapping[str, Any]], None] | None = None

    def __call__(self, event: Mapping[str, Any]) -> None:
        if self.target is not None:
            self.target(event)


_observer = LateObserver()


def observer() -> LateObserver:
    """Give ``twistd`` the process's only observer."""
    return _observer


def makeService(options: Options) -> IService:  # noqa: N802 - Twisted's name
    """
    Build the node.

    :raises SystemExit: it cannot be built; why is on standard error.
    """
    reactor = the_reactor()
    try:
        node = build(reactor, options["configuration"], _give_up)
    except CocainedError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    _observer.target = node.log

    def reopen(number: int, frame: FrameType | None) -> None:
        reactor.callFromThread(node.log.reopen)

    signal.signal(signal.SIGHUP, reopen)
    return node


def the_reactor() -> IReactor:
    """
    Give the reactor that ``twistd`` has installed.

    :raises SystemExit: it cannot do what a node needs.
    """
    from twisted.internet import reactor

    needs: tuple[Any, ...] = IReactor.__bases__
    missing = [need.__name__ for need in needs if not need.providedBy(reactor)]
    if missing:
        print(
            f"{type(reactor).__name__} does not provide {', '.join(missing)};"
            " choose another --reactor",
            file=sys.stderr,
        )
        raise SystemExit(1)
    return cast(IReactor, reactor)


def build(reactor: IReactor, filename: str, failed: Any) -> Node:
    """
    Read a configuration and build the node it describes.

    :raises CocainedError: something in it cannot be used.
    """
    return Node(reactor, load(filename), Repository.discover(), failed)


def check(filename: str) -> int:
    """Say what is wrong with a configuration; gives the exit status."""
    try:
        node = build(the_reactor(), filename, _give_up)
    except CocainedError as error:
        print(error, file=sys.stderr)
        return 1
    for note in node.config.notes:
        print(f"{filename}: note: {note}")
    print(f"{filename}: good")
    return 0


def list_plugins() -> int:
    """Print every plugin; gives the exit status."""
    repository = Repository.discover()
    lines = repository.listing()
    width = max((len(line.type) for line in lines), default=0)
    for line in lines:
        state = f"  BROKEN: {line.problem}" if line.problem else ""
        if line.extra:
            state = f"  needs: pip install 'cocained[{line.extra}]'"
        print(f"{line.category:8} {line.type:{width}}  {line.dotted}{state}")
    for stray in repository.strays:
        print(f"stray: {stray}")
    return 1 if repository.strays or any(line.problem for line in lines) else 0


def _give_up(failure: Failure) -> None:
    """The node cannot start: say why, end, and end with an error."""
    error = failure.value
    # By now ``sys.stderr`` is a way into the log.
    terminal = sys.__stderr__ or sys.stderr
    if isinstance(error, CocainedError):
        log.critical("the node cannot start: {error}", error=error)
        print(f"the node cannot start: {error}", file=terminal)
    else:
        log.failure("the node cannot start", failure=failure)
        failure.printTraceback(file=terminal)
    # At the very end, so that twistd still removes its pid file.
    atexit.register(_exit_with_error)
    core = the_reactor()
    # The start may fail before the reactor runs.
    core.callWhenRunning(core.stop)


def _exit_with_error() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    os._exit(1)
