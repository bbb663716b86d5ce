# -*- test-case-name: cocained.test.live.test_docker_demo -*-
"""
``cocaine-tool``, as a user types it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from demonstration.screen import Screen

#: Where the commands of this environment are, which workers inherit.
BIN = Path(sys.executable).parent


def run_tool(
    screen: Screen,
    words: Sequence[str],
    environment: Mapping[str, str],
    enter: Sequence[str] = (),
    show: bool = True,
) -> str:
    """
    Show a command and run it.

    :param words: its arguments.
    :param environment: all of it.
    :param enter: a command that runs it somewhere else.
    :param show: whether to show it, and what it has printed.
    :returns: what it has printed.
    :raises CalledProcessError: it failed; its complaint is shown.
    """
    if show:
        screen.command("cocaine-tool", *words)
    done = subprocess.run(
        [*enter, str(BIN / "cocaine-tool"), *words],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    )
    said = done.stdout.decode(errors="replace").strip()
    if show or done.returncode:
        screen.say(said)
    done.check_returncode()
    return said
