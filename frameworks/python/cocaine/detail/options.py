# -*- test-case-name: tests.test_options -*-
"""
The command line the runtime gives to a worker.

Source: protocol.md 8.1: pairs of a name and a value. Anything else is the app's
own and left alone.
"""

from __future__ import annotations

import sys

from cocaine.exceptions import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("--app", "--uuid", "--endpoint", "--locator", "--protocol")
#: Where every node has its locator unless configured otherwise.
DEFAULT_LOCATOR = (("127.0.0.1", 10053),)


def scan(argv: Sequence[str] | None = None) -> dict[str, str]:
    """
    Collect the options of a worker.

    :param argv: the arguments without the program; default `sys.argv[1:]`
    :returns: values by name without the dashes; only what is there
    """
    if argv is None:
        argv = getattr(sys, "argv", [])[1:]
    found = {}
    rest = iter(argv)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in NAMES:
            if not equals:
                value = next(rest, "")
            found[name[2:]] = value
    return found


def parse_locators(value: str) -> tuple[tuple[str, int], ...]:
    """
    Read the value of `--locator`: `host:port`, or several joined by commas.

    Behind walls it is `/path:0`, the UNIX socket of the locator.

    :raises ConfigurationError: naming the part that is wrong
    """
    result = []
    for part in value.split(","):
        host, _, port = part.strip().rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        if not host or not port.isascii() or not port.isdigit():
            raise ConfigurationError(
                f"--locator: {part!r} is not host:port or [ipv6]:port"
            )
        if not 0 < int(port) < 65536 and not host.startswith("/"):
            raise ConfigurationError(f"--locator: port {port} is out of range")
        result.append((host, int(port)))
    return tuple(result)


def default_locators() -> tuple[tuple[str, int], ...]:
    """Return the node's locators: from the command line, else the usual port."""
    value = scan().get("locator")
    return parse_locators(value) if value else DEFAULT_LOCATOR


def parse_protocol(value: str | int | None) -> int:
    """
    Read the value of `--protocol`; missing means 0.

    :raises ConfigurationError: when it is neither 0 nor 1
    """
    text = str(value if value is not None else "0").strip() or "0"
    if text not in ("0", "1"):
        raise ConfigurationError(f"--protocol: {text!r} is not known; 0 and 1 are")
    return int(text)
