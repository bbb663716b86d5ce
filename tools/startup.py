# -*- test-case-name: cocained.test.test_tools_startup -*-
"""
Waiting for an app to start, and telling people how far it is.

The node answers ``start_app`` when the app runs, which takes as long as its code
takes to arrive.  Meanwhile ``info`` says what goes on.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from cocained.tools.client import Client
from cocained.tools.failures import ToolError
from cocained.tools.output import plain

log = Logger()

#: Seconds that a start may take without a word.
PATIENCE = 0.5

#: Seconds between an answer of the node and the next question.
INTERVAL = 0.5

#: Seconds that the node may take to say how far it is.
POLL_TIMEOUT = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stage:
    """
    How far an app's start is.

    :param text: what is being done, for people; empty if the node does not say.
    :param percent: of it, 0…100, if that is known.
    """

    text: str = ""
    percent: int | None = None

    @classmethod
    def from_report(cls, report: Any) -> Stage:
        """Take what there is in an answer of ``info``, which may be anything."""
        match plain(report):
            case {"progress": {"text": str(text), **rest}}:
                return cls(text, _percent(rest.get("percent")))
        return cls()


def _percent(value: Any) -> int | None:
    if type(value) not in (int, float) or not math.isfinite(value):
        return None
    return min(max(int(value), 0), 100)


async def show_start(client: Client, name: str, starting: Awaitable[T]) -> T:
    """
    Wait for a start, with a line on the terminal once it takes a while.

    Nothing that goes wrong with the line, or with the questions to the node,
    changes what comes of the start, or when.

    :param name: of the app.
    :param starting: the call that starts it.
    :returns: what *starting* gives.
    :raises ToolError: as *starting* does.
    """
    if not client.output.watched:
        return await starting
    watching = Deferred.fromCoroutine(_watch(client, name))
    watching.addErrback(_unseen, name)
    try:
        return await starting
    finally:
        watching.cancel()


async def _watch(client: Client, name: str) -> None:
    """Show how far the start of an app is, until cancelled."""
    await deferLater(client.clock, PATIENCE)
    with client.output.status(f"Starting {name}", client.clock) as status:
        while True:
            stage = await _ask(client, name)
            status.show(stage.text, stage.percent)
            await deferLater(client.clock, INTERVAL)


async def _ask(client: Client, name: str) -> Stage:
    try:
        report = await client.call("node", "info", name, timeout=POLL_TIMEOUT)
    except ToolError as error:
        # It may not be known yet; what matters is what the start says.
        log.debug(
            "the node does not say how far app {app} is: {error}", app=name, error=error
        )
        return Stage()
    return Stage.from_report(report)


def _unseen(failure: Failure, name: str) -> None:
    if not failure.check(CancelledError):
        log.failure(
            "the start of app {app} cannot be shown",
            failure=failure,
            level=LogLevel.warn,
            app=name,
        )
