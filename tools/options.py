# -*- test-case-name: cocained.test.test_tools_cli -*-
"""
What every command takes, and how a coroutine becomes a command.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from cocained.tools.config import load_config

if TYPE_CHECKING:
    from cocained.tools.client import Client, Settings

#: Seconds for a command, as in the published tool.
TIMEOUT = 20.0

#: Seconds for an upload: packing and sending take a while.
UPLOAD_TIMEOUT = 120.0

#: Seconds for starting an app: an image may have to come from a registry.
START_TIMEOUT = 600.0

Action = Callable[["Client"], Awaitable[None]]
Run = Callable[[Action, "Settings", float | None], int]


@dataclass(frozen=True)
class Environment:
    """
    Where commands run.

    :param run: runs an action within a time limit in seconds and gives the
        exit status.
    :param config_paths: the files that name the node, the weaker one first.
    """

    run: Run
    config_paths: tuple[str, ...]


def action(
    timeout: float | None = TIMEOUT, call_timeout: float = TIMEOUT
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """
    Turn ``async def command(client, **options)`` into what click calls.

    :param timeout: seconds for all of it unless ``--timeout`` says otherwise;
        ``None`` for no such limit, and then ``--timeout`` is for each call.
    :param call_timeout: seconds for each call, where there is no other limit.
    """

    def decorate(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        def command(
            host: str | None,
            port: int | None,
            seconds: float | None,
            as_json: bool,
            verbose: int,
            **options: Any,
        ) -> None:
            from cocained.tools.client import Settings

            context = click.get_current_context()
            environment: Environment = context.find_root().obj
            config = load_config(environment.config_paths)
            if config.secure:
                click.echo(
                    "tools.yml asks for signed requests (secure), which this tool"
                    " does not make; they are sent unsigned",
                    err=True,
                )
            whole = timeout if seconds is None or timeout is None else seconds
            settings = Settings(
                config.host if host is None else host,
                config.port if port is None else port,
                (whole or call_timeout) if seconds is None else seconds,
                as_json,
                verbose,
            )
            run = functools.partial(function, **options)
            context.exit(environment.run(run, settings, whole))

        # Name, help text and the options given so far.
        functools.update_wrapper(command, function)
        return _common(command, timeout or call_timeout)

    return decorate


def _common(function: Callable[..., None], timeout: float) -> Callable[..., None]:
    seconds = click.FloatRange(0, min_open=True)
    for option in (
        click.option("-v", "verbose", count=True, help="Log more; repeatable."),
        click.option("--json", "as_json", is_flag=True, help="Print for scripts."),
        click.option(
            "--timeout",
            "seconds",
            type=seconds,
            help=f"Seconds to wait, {timeout:g} if not given.",
        ),
        click.option("--port", type=click.IntRange(0, 65535), help="Locator's port."),
        click.option("--host", help="Locator's host, address or socket path."),
    ):
        function = option(function)
    return function


def name_option(what: str, help: str = "") -> Callable[[Any], Any]:
    """The ``-n/--name`` of nearly every command; checked by the action."""
    return click.option("-n", "--name", metavar="NAME", help=help or f"Name of {what}.")
