# -*- test-case-name: cocained.test.test_tools_cli -*-
"""
``cocaine-tool``: its groups, the reactor, the exit status.

Groups are imported when they are used; the network only when a command runs.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Sequence

import click
from typing_extensions import override

from cocained.tools.config import default_paths
from cocained.tools.failures import (
    EXIT_ABORTED,
    EXIT_USAGE,
    Report,
    ToolError,
    report,
)
from cocained.tools.options import Environment, Run
from cocained.tools.output import Output

#: Command to module, object and the line that ``--help`` shows, so that help
#: needs none of them.
COMMANDS = {
    "app": ("apps", "apps", "Upload, start, stop and show apps."),
    "call": ("call", "call", "Call METHOD of SERVICE, or list its methods."),
    "cluster": ("nodes", "cluster", "Show the nodes linked to this one."),
    "crashlog": ("crashlogs", "crashlogs", "Crash logs: what crashed workers said."),
    "group": ("groups", "groups", "Routing groups: share load among apps."),
    "i": ("nodes", "info", "Alias of info."),
    "info": ("nodes", "info", "Show what the apps on the node do."),
    "locate": ("nodes", "locate", "Show where a service is and what it offers."),
    "node": ("admin", "admin", "The node itself: how it is, let it rest or serve."),
    "profile": ("profiles", "profiles", "Profiles: how apps are run."),
    "routing": ("nodes", "routing", "Show the shares of a routing group."),
    "runlist": ("runlists", "runlists", "Runlists: which apps a node starts."),
    "uuid": ("nodes", "uuid", "Show the node's own id."),
    "version": ("nodes", "version", "Show the version of this tool."),
    "vicodyn": ("vicodyn", "vicodyn", "The gateway vicodyn: its apps and its peers."),
}


class LazyGroup(click.Group):
    """A group whose members are imported when they are used."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(
            importlib.import_module(f"cocained.tools.{module}"), name
        )
        return command

    @override
    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, entry[2]) for name, entry in sorted(COMMANDS.items())]
            )


@click.command(
    cls=LazyGroup,
    name="cocaine-tool",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 done, 1 aborted, 2 wrong usage, 3 done but the node is"
    " troubled, 22 a bad value,"
    " 64 options that exclude each other, 128 a service or connection failed.",
)
def root() -> None:
    """Manage a Cocaine node: its apps, profiles and runlists."""


def main(
    args: Sequence[str] | None = None,
    run: Run | None = None,
    config_paths: Sequence[str] | None = None,
) -> None:
    """
    Run the tool and exit.

    :param args: the command line, this process's own by default.
    :param run: see :class:`~cocained.tools.options.Environment`; the reactor by
        default.
    :param config_paths: where to look for the node's address.
    """
    arguments = sys.argv[1:] if args is None else list(args)
    paths = default_paths() if config_paths is None else config_paths
    environment = Environment(run or react, tuple(paths))
    # What comes before the command's own options are known.
    output = Output("--json" in arguments)
    try:
        result = root.main(
            arguments, "cocaine-tool", standalone_mode=False, obj=environment
        )
        status = result if isinstance(result, int) else 0
    except click.ClickException as error:
        status = EXIT_USAGE if isinstance(error, click.UsageError) else error.exit_code
        if output.as_json:
            output.error(Report(status, error.format_message()))
        else:
            error.show()
    except (click.Abort, KeyboardInterrupt):
        status = EXIT_ABORTED
        if output.as_json:
            output.error(Report(status, "aborted"))
        else:
            click.echo("Aborted!", err=True)
    except (ToolError, ValueError) as error:
        told = report(error)
        status = told.status
        output.error(told)
    except BrokenPipeError:
        # The reader of our output has gone, which is its right.  What is still
        # buffered would complain at exit.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_ABORTED
    sys.exit(status)


def react(action: object, settings: object, timeout: float | None) -> int:
    """Run an action on the real reactor; see :mod:`cocained.tools.running`."""
    from twisted.internet import reactor

    from cocained.tools.running import run_reactor

    return run_reactor(reactor, action, settings, timeout)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
