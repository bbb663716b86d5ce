# -*- test-case-name: cocained.test.test_tools_running -*-
"""
Running one action: its time limit, its errors, its end.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import (
    FilteringLogObserver,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)

from cocained.interfaces import IReactor
from cocained.rpc.connection import TimedOut
from cocained.tools.client import Client, Settings, Surroundings
from cocained.tools.failures import EXIT_FAILED, ToolError, report
from cocained.tools.options import Action
from cocained.tools.output import Output

#: Bytes of one read of standard input, and so of one chunk.
STDIN_PIECE = 65536

#: Log level for each number of ``-v``.
_LEVELS = (LogLevel.critical, LogLevel.error, LogLevel.warn, LogLevel.info)


def perform(
    reactor: IReactor,
    action: Action,
    settings: Settings,
    timeout: float | None,
    surroundings: Surroundings,
) -> Deferred[int]:
    """
    Run an action to its end.

    :param timeout: seconds for all of it, or ``None``.
    :returns: fires with the exit status, when the connections are closed; what
        went wrong has been printed.  Cancelling it aborts the action.
    """
    output = Output(settings.as_json)
    client = Client(reactor, settings, output, surroundings)
    return Deferred.fromCoroutine(_perform(client, action, settings, timeout))


async def _perform(
    client: Client, action: Action, settings: Settings, timeout: float | None
) -> int:
    output = client.output
    try:
        acting = Deferred.fromCoroutine(_awaited(action, client))
        if timeout is not None:
            acting = client.limited(acting, timeout, "the command")
        await acting
        status = client.status
    except (CancelledError, BrokenPipeError, click.Abort):
        raise
    except TimedOut as error:
        output.error(report(ToolError(error.reason, "--timeout gives it more time")))
        status = EXIT_FAILED
    except Exception as error:
        told = report(error)
        output.error(told)
        status = told.status
        if settings.verbose:
            import traceback

            traceback.print_exception(error)
    finally:
        await client.close()
    return status


async def _awaited(action: Action, client: Client) -> None:
    await action(client)


def run_reactor(
    reactor: IReactor, action: Action, settings: Settings, timeout: float | None
) -> int:
    """
    Start the reactor, run an action, stop the reactor.

    :returns: the exit status.
    :raises click.Abort: it was interrupted.
    """
    start_logging(settings.verbose)
    ended: list[Any] = []
    surroundings = Surroundings(edit, stdin_reader(reactor))

    def begin() -> None:
        performing = perform(reactor, action, settings, timeout, surroundings)
        performing.addBoth(end)
        # An interrupted action still cleans up before the sockets go.
        reactor.addSystemEventTrigger("before", "shutdown", give_up, performing)

    def give_up(performing: Deferred[Any]) -> Deferred[Any] | None:
        if ended:
            return None
        performing.cancel()
        return performing

    def end(result: Any) -> None:
        ended.append(result)
        if reactor.running:
            try:
                reactor.stop()
            except Exception:
                # It is being stopped by a signal already.
                return

    reactor.callWhenRunning(begin)
    reactor.run()
    result = ended[0] if ended else None
    if isinstance(result, int):
        return result
    error = getattr(result, "value", None)
    if error is None or isinstance(error, CancelledError):
        raise click.Abort()
    raise error


def start_logging(verbose: int) -> None:
    """Send log events of the wanted levels to standard error."""
    level = _LEVELS[verbose] if verbose < len(_LEVELS) else LogLevel.debug
    observer = FilteringLogObserver(
        textFileLogObserver(sys.stderr), [LogLevelFilterPredicate(level)]
    )
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def edit(text: str) -> str | None:
    """
    Show *text* in the user's editor: ``$VISUAL``, ``$EDITOR``, what there is.

    :returns: ``None`` if it was left without saving.
    :raises ToolError: there is no such editor, or it failed.
    """
    try:
        return click.edit(text, extension=".json", require_save=True)
    except click.ClickException as error:
        raise ToolError(
            f"nothing is changed: {error.message}",
            "$VISUAL or $EDITOR names another editor",
        ) from error


def stdin_reader(
    reactor: IReactor, descriptor: int = 0
) -> Callable[[], Deferred[bytes]]:
    """
    Read standard input without blocking the reactor.

    A thread of its own for each read, and a daemon: one of the pool's would
    keep an interrupted tool waiting for a line that nobody types.  It reads
    the descriptor itself, as a lock of Python's file object that a daemon holds
    ends the interpreter badly.

    :param descriptor: what to read.
    """

    def read() -> Deferred[bytes]:
        # Without a canceller: what comes after a cancel is ignored.
        result: Deferred[bytes] = Deferred()
        threading.Thread(target=_thd_read, args=(result,), daemon=True).start()
        return result

    def _thd_read(result: Deferred[bytes]) -> None:
        try:
            data = os.read(descriptor, STDIN_PIECE)
        except OSError as error:
            reactor.callFromThread(_fire, result.errback, error)
        else:
            reactor.callFromThread(_fire, result.callback, data)

    def _fire(fire: Callable[[Any], None], value: Any) -> None:
        fire(value)

    return read
