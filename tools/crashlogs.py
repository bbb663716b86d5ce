# -*- test-case-name: cocained.test.test_tools_crashlogs -*-
"""
``cocaine-tool crashlog``: what crashed workers said.

A log's key is ``<µs since epoch>:<worker uuid>``, its tags are the app and the
day, which the node takes in UTC; so do we (the published tool took local days).
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import click

from cocained.tools.failures import BadValue, Missing, ToolError, need
from cocained.tools.options import action, name_option

if TYPE_CHECKING:
    from cocained.tools.client import Client

COLLECTION = "crashlogs"

#: Most digits of a time.  Calendars go no further; today's have 16.
STAMP_DIGITS = 20


class CrashLog(NamedTuple):
    """
    One log, by its key.

    :param stamp: microseconds since the epoch.
    :param worker: uuid of the worker.
    """

    stamp: int
    worker: str

    @classmethod
    def from_key(cls, key: str) -> CrashLog | None:
        """Read a key; ``None`` for one that a node did not write."""
        stamp, colon, worker = key.partition(":")
        if not colon or not stamp.isdecimal() or len(stamp) > STAMP_DIGITS:
            return None
        return cls(int(stamp), worker)

    @property
    def key(self) -> str:
        """Its key in the storage."""
        return f"{self.stamp}:{self.worker}"

    @property
    def local_time(self) -> str:
        """When it was written, for people."""
        return time.ctime(self.stamp / 1_000_000)


@click.group("crashlog")
def crashlogs() -> None:
    """Crash logs: what crashed workers said."""


stamp_option = click.option(
    "-t", "--timestamp", metavar="TS", help="Microseconds, as `list` shows them."
)


@crashlogs.command("list")
@name_option("the app")
@click.option(
    "-d",
    "--day",
    metavar="DAY",
    help="today, yesterday, or a day as 31, 31-12 or 31-12-2026; in UTC.",
)
@action()
async def list_logs(client: Client, name: str | None, day: str | None) -> None:
    """List the crash logs of an app."""
    name = need(name, "name of the app", "-n")
    tags = [name]
    if day:
        now = datetime.fromtimestamp(client.surroundings.now(), UTC)
        tags.append(day_tag(day, now))
    logs = await find(client, *tags)
    client.output.rows(
        ("Timestamp", "Time", "UUID"),
        [(log.stamp, log.local_time, log.worker) for log in logs],
    )


@crashlogs.command("view")
@name_option("the app")
@stamp_option
@action()
async def view(client: Client, name: str | None, timestamp: str | None) -> None:
    """Show a crash log, the latest one if no time is given."""
    name = need(name, "name of the app", "-n")
    logs = await find(client, name)
    if not logs:
        raise ToolError(
            f"app '{name}' has no crash logs",
            "`cocaine-tool crashlog status` shows which apps have",
        )
    log = choose(logs, timestamp)[-1] if timestamp else logs[-1]
    from cocained.tools.store import unpack

    lines = unpack(await client.store.blob(COLLECTION, log.key))
    client.output.lines(lines if isinstance(lines, list) else [lines])


@crashlogs.command("status")
@action()
async def status(client: Client) -> None:
    """Show which apps have crash logs, and how many."""
    from cocained.tools.store import MANIFEST

    rows = []
    for app in await client.store.names(MANIFEST):
        logs = await find(client, app)
        if logs:
            rows.append((app, len(logs), logs[-1].local_time, logs[-1].worker))
    client.output.rows(("App", "Count", "Latest", "UUID"), rows)


@crashlogs.command("remove")
@name_option("the app")
@stamp_option
@action()
async def remove(client: Client, name: str | None, timestamp: str | None) -> None:
    """Remove the crash logs of an app, or the one of a given time."""
    name = need(name, "name of the app", "-n")
    logs = await find(client, name)
    await discard(client, choose(logs, timestamp) if timestamp else logs)


@crashlogs.command("removeall")
@name_option("the app")
@action()
async def remove_all(client: Client, name: str | None) -> None:
    """Remove all crash logs of an app."""
    await discard(client, await find(client, need(name, "name of the app", "-n")))


@crashlogs.command("clean")
@name_option("the app")
@click.option(
    "-t", "--timestamp", metavar="TS", help="Remove what is older: microseconds."
)
@click.option(
    "-s", "--size", type=click.IntRange(0), help="Keep that many, the latest ones."
)
@action()
async def clean(
    client: Client, name: str | None, timestamp: str | None, size: int | None
) -> None:
    """Remove old crash logs of an app."""
    name = need(name, "name of the app", "-n")
    if timestamp is None and size is None:
        raise BadValue("nothing says what is old", "give -t or -s")
    logs = await find(client, name)
    old = {log for log in logs if timestamp and log.stamp < parse_stamp(timestamp)}
    if size is not None:
        old.update(logs[: max(0, len(logs) - size)])
    await discard(client, sorted(old))


async def find(client: Client, *tags: str) -> list[CrashLog]:
    """The logs that carry all of the tags, the latest one last."""
    keys = await client.store.find(COLLECTION, tags)
    return sorted(filter(None, map(CrashLog.from_key, keys)))


def choose(logs: list[CrashLog], timestamp: str) -> list[CrashLog]:
    """
    The logs of one time.

    :raises Missing: there is none.
    """
    stamp = parse_stamp(timestamp)
    chosen = [log for log in logs if log.stamp == stamp]
    if not chosen:
        stamps = [str(log.stamp) for log in logs]
        raise Missing("crash log", timestamp, stamps, "cocaine-tool crashlog list")
    return chosen


async def discard(client: Client, logs: list[CrashLog]) -> None:
    """Remove logs one after the other."""
    for log in logs:
        await client.store.remove(COLLECTION, log.key)
    keys = [log.key for log in logs]
    client.output.done(f"Removed {len(keys)} crash logs", status="removed", keys=keys)


def parse_stamp(timestamp: str) -> int:
    """
    Read a time given by the user.

    :raises BadValue: it is no number.
    """
    if not timestamp.isdecimal() or len(timestamp) > STAMP_DIGITS:
        raise BadValue(
            f"{timestamp!r} is no time", "give microseconds, as `crashlog list` shows"
        )
    return int(timestamp)


def day_tag(day: str, now: datetime) -> str:
    """
    The tag of a day.

    :param day: the beginning of "today" or "yesterday", or a day of the month,
        with its month, with its year.
    :param now: in UTC.
    :raises BadValue: it is none of these.
    """
    if "today".startswith(day):
        date = now.date()
    elif "yesterday".startswith(day):
        date = (now - timedelta(days=1)).date()
    else:
        date = _parse_day(day, now).date()
    return f"cocaine-{date:%Y-%m-%d}"


def _parse_day(day: str, now: datetime) -> datetime:
    for missing in ("", f"-{now.year}", f"-{now.month}-{now.year}"):
        try:
            return datetime.strptime(day + missing, "%d-%m-%Y").replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadValue(
        f"{day!r} is no day", "say today, yesterday, 31, 31-12 or 31-12-2026"
    )
