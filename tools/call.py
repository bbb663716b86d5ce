# -*- test-case-name: cocained.test.test_tools_call -*-
"""``cocaine-tool call``: any method of any service."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cocained.errors import CocainedError
from cocained.rpc.codec import unpack as unpack_value
from cocained.tools.failures import BadValue, ToolError
from cocained.tools.options import action

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from cocained.rpc.calls import Stream
    from cocained.tools.client import Client

#: Stands for standard input.
STDIN = "-"

#: Most bytes of standard input that may become one argument: what one frame
#: can carry, and a little less.
STDIN_LIMIT = 127 * 1024 * 1024


@click.command("call", context_settings={"ignore_unknown_options": True})
@click.argument("service")
@click.argument("method", required=False)
@click.argument("args", nargs=-1)
@click.option(
    "-d", "--data", multiple=True, metavar="TEXT", help="A chunk to write; repeatable."
)
@click.option("--raw", is_flag=True, help="Print strings as they are, byte by byte.")
@click.option("--unpack", is_flag=True, help="Print the values packed in strings.")
@action(timeout=None)
async def call(
    client: Client,
    service: str,
    method: str | None,
    args: tuple[str, ...],
    data: tuple[str, ...],
    raw: bool,
    unpack: bool,
) -> None:
    """
    Call METHOD of SERVICE, or list its methods.

    Each of ARGS is JSON, a Python literal, or else text; one tuple stands for
    several.  A last argument "-" is standard input: the chunks of a stream, or
    one string.  Chunks of an answer are printed as they come.
    """
    found = await client.explain(service, client.service(service).connect())
    if method is None:
        client.output.data(sorted(entry[0] for entry in found.graph.values()))
        return
    from cocained.rpc.calls import expected, is_mute, is_primitive

    entry = next((e for e in found.graph.values() if e[0] == method), None)
    dispatch, upstream = entry[1:] if entry else ({}, {})
    more = expected(dispatch)
    writes = any(name == "write" for name, _ in more.values())
    piped = bool(args) and args[-1] == STDIN
    values = parse_arguments(args[:-1] if piped else args)
    if raw and unpack:
        raise BadValue("--raw and --unpack exclude each other", "leave one out")
    show = partial(client.output.chunk, raw=raw)
    if unpack:
        show = partial(show_unpacked, client)
    if data and not writes:
        raise BadValue(f"{service}.{method} takes no chunks", "leave -d out")
    if piped and not writes:
        values.append(await read_all(client))
    if not more and (is_mute(upstream) or is_primitive(upstream)):
        answer = await client.call(service, method, *values)
        if not is_mute(upstream):
            show(answer) if raw or unpack else client.output.data(answer)
        return
    stream = await client.stream(service, method, *values)
    async with stream:
        await converse(client, service, stream, data, piped and writes, show)


def show_unpacked(client: Client, value: Any) -> None:
    """Print the value that is packed in a string, as frameworks write them."""
    if type(value) is bytes:
        try:
            value = unpack_value(value)
        except CocainedError as error:
            raise BadValue(
                f"a string is no packed value: {error}", "leave --unpack out"
            ) from (error)
    client.output.data(value)


async def converse(
    client: Client,
    service: str,
    stream: Stream,
    data: tuple[str, ...],
    piped: bool,
    show: Callable[[Any], None],
) -> None:
    """Write what is to be written, and print what comes, both at once."""
    from twisted.internet.defer import Deferred

    writing = Deferred.fromCoroutine(write_all(client, stream, data, piped))
    # A failed write ends the reading too; its own error is the better one.
    failed: list[BaseException] = []
    writing.addErrback(_gave_up, stream, failed)
    try:
        await client.explain(service, print_all(client, stream, piped, show))
    except ToolError:
        if failed:
            raise failed[0] from None
        raise
    finally:
        writing.cancel()
    if failed:
        raise failed[0]


def _gave_up(failure: Failure, stream: Stream, failed: list[BaseException]) -> None:
    from twisted.internet.defer import CancelledError

    error = failure.value
    if error is not None and not isinstance(error, CancelledError):
        failed.append(error)
        stream.cancel()


async def write_all(
    client: Client, stream: Stream, data: tuple[str, ...], piped: bool
) -> None:
    """Write the chunks of the command line and of standard input, then close."""
    timeout = client.settings.timeout
    if not stream.can_send("write"):
        return
    for text in data:
        stream.write(text.encode("utf-8", "surrogateescape"))
    while piped and (chunk := await client.surroundings.read_stdin()):
        stream.write(chunk)
        await stream.drained(timeout)
    if stream.can_send("close"):
        stream.close()


async def print_all(
    client: Client, stream: Stream, piped: bool, show: Callable[[Any], None]
) -> None:
    """Print chunks as they come; a silence may last ``--timeout`` seconds."""
    from cocained.rpc.calls import END

    # Who types into a terminal may take any time.
    timeout = None if piped else client.settings.timeout
    while (chunk := await stream.read(timeout)) is not END:
        show(chunk)


def parse_arguments(args: tuple[str, ...]) -> list[Any]:
    """
    Read arguments of the command line.

    A single Python tuple is several arguments, as the tool of 0.11 had it.
    """
    values = [parse_argument(arg) for arg in args]
    if len(values) == 1 and isinstance(values[0], tuple):
        return list(values[0])
    return values


def parse_argument(arg: str) -> Any:
    """Read one argument: JSON, a Python literal, or else text."""
    try:
        return json.loads(arg)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(arg)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        # Text, such as the name of an app; bytes that are no UTF-8 survive.
        return arg


async def read_all(client: Client) -> bytes:
    """
    Read standard input to its end.

    :raises BadValue: it is more than one frame can carry.
    """
    pieces = []
    size = 0
    while piece := await client.surroundings.read_stdin():
        size += len(piece)
        if size > STDIN_LIMIT:
            raise BadValue(f"standard input has more than {STDIN_LIMIT} bytes")
        pieces.append(piece)
    return b"".join(pieces)
