# -*- test-case-name: cocained.test.test_fuzz -*-
"""
``node.yaml``, and the files of the original: an input is a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

import cocained
from cocained.config import (
    ConfigErrors,
    LimitsConfig,
    LoggingConfig,
    NetworkConfig,
    NodeConfig,
    PathsConfig,
    Settings,
    ShutdownConfig,
    loads,
)
from cocained.config.source import decode
from cocained.errors import ConfigError
from cocained.test.fuzz.targets import Target, law

#: Signs of the longest message: some twenty problems of a line each.
MAX_MESSAGE = 32 * 1024

#: A file of the original, which is JSON with comments.
ORIGINAL = b"""{
    "version": 4, // of the layout
    "paths": {"plugins": "/usr/lib/cocaine", "runtime": "/var/run/cocaine"},
    "network": {"pinned": {"locator": 10053}, "shared": [32769, 61000]},
    "logging": {"loggers": [{"type": "asynchronous", "logger": {"type": "root",
        "handlers": [{"type": "blocking", "sinks": [{"type": "console"}]}]}}],
        "severity": "info"},
    "services": {"storage": {"type": "storage", "args": {"backend": "core"}}},
    "storages": {"core": {"type": "files", "args": {"path": "/var/lib/cocaine"}}},
    "unicorns": {"core": {"type": "zookeeper"}},
}
"""

#: The same of an older layout.
OLDER = b"""{"version": 2, "loggers": {"core": {"type": "files", "args":
{"path": "/tmp/x", "verbosity": "info"}}}, "locator": {"port": 1}, "network":
{"group": "239.0.0.1", "gateway": {"type": "adhoc"}}}"""

#: What each file must say, for those that add to it.
SHORT = b"services:\n  locator: {type: locator}\n"

#: YAML that means more than it shows.
ODD = (
    b"a: &x 1\nb: *x\n",
    b"a: !!python/object:os.system x\n",
    b"version: 4\nversion: 4\n",
    b"- 1\n",
    b"? [a]\n: b\n",
    b"\xef\xbb\xbfversion: 3\n",
    b"limits: {frame: 0x10, channels: 1e3}\n",
    b'network: {endpoint: "::", shared: [1, 2]}\n',
    b"shutdown:\n  drain: .inf\n",
    b"--- a\n--- b\n",
    b"text: |\n  many\n  lines\n",
)


def check(data: bytes, load: Callable[..., NodeConfig] = loads) -> None:
    """
    Take one input.

    :param load: :func:`~cocained.config.loads`, or something with a fault.
    """
    try:
        text = decode(data, "f")
        config = load(text, "f", "/base")
    except ConfigError as error:
        _told(error, data)
        return
    law(config == load(text, "f", "/base"), "a file means one thing")


def _told(error: ConfigError, data: bytes) -> None:
    """State that an error helps: it has a place, a reason, and no end of text."""
    message = str(error)
    # Any terminal and any log has to take it.
    message.encode()
    law(len(message) <= MAX_MESSAGE, "messages are short", len(message))
    lines = len(data.decode("utf-8", "replace").splitlines()) + 1
    problems = error.problems if isinstance(error, ConfigErrors) else [error]
    for problem in problems:
        law(bool(problem.reason), "every problem has a reason", problem)
        law(problem.filename == "f", "every problem names its file", problem)
        law(
            problem.line is None or 1 <= problem.line <= lines,
            "lines are lines of the file",
            problem,
            lines,
        )


def seeds() -> Iterable[bytes]:
    """The examples, if this is a checkout, and some of ours."""
    root = Path(cocained.__file__).absolute().parent.parent
    for place in ("examples/node.yaml", "docs/examples/node.yaml"):
        path = root / place
        if path.exists():
            lines = path.read_bytes().splitlines(keepends=True)
            yield b"".join(line for line in lines if not line.startswith(b"#"))
    yield ORIGINAL
    yield OLDER
    yield from (SHORT + odd for odd in ODD)
    yield from ODD


def _names() -> Iterable[bytes]:
    for struct in (
        Settings,
        LimitsConfig,
        LoggingConfig,
        NetworkConfig,
        PathsConfig,
        ShutdownConfig,
    ):
        for info in msgspec.structs.fields(struct):
            yield info.encode_name.encode()


TARGET = Target(
    run=check,
    seeds=seeds,
    words=(*_names(), b"type", b"args", b": ", b"\n  ", b"!!", b"//", b"/*"),
    size=1024,
)
