# -*- test-case-name: cocained.test.test_config -*-
"""
A file → a checked :class:`~cocained.config.schema.NodeConfig`.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from cocained.config.convert import examine
from cocained.config.original import translate
from cocained.config.problems import raise_all
from cocained.config.schema import NodeConfig, PathsConfig, Settings
from cocained.config.source import MAX_BYTES, decode, parse
from cocained.config.wording import shown
from cocained.errors import ConfigError


def load(path: str) -> NodeConfig:
    """
    Read the configuration of a node.

    :param path: a file with YAML of ours, or with the original's JSON.
    :returns: the configuration; nothing has been started or created.
    :raises ConfigError: the file cannot be read or used; its text names the
        line, the key and the remedy of every mistake.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = f"cannot be read: {error.strerror or error}"
        raise ConfigError(reason, filename=path) from error
    except ValueError as error:
        raise ConfigError("is no name of a file", filename=ascii(path)) from error
    base = os.path.dirname(os.path.abspath(path))
    return loads(decode(data, path), path, base)


def loads(
    text: str, filename: str | None = None, base: str | None = None
) -> NodeConfig:
    """
    Read a configuration that is in memory.

    :param text: as in a file.
    :param filename: for messages.
    :param base: absolute directory at which relative paths start; by default
        the current one.
    :raises ConfigError: as :func:`load`.
    """
    source = parse(text, filename)
    if source.tree is None:
        raise source.where.error("is empty; at least services and storages are needed")
    if not isinstance(source.tree, dict):
        raise source.where.error(
            f"must be sections (keys with values), not {shown(source.tree)}"
        )
    tree, where, notes, problems = translate(source.tree, source.where)
    values, more = examine(tree, Settings, where=where)
    raise_all([*problems, *more])
    config = NodeConfig(
        **values, base=base or os.getcwd(), notes=tuple(notes), where=where
    )
    return msgspec.structs.replace(config, paths=_absolute(config))


def _absolute(config: NodeConfig) -> PathsConfig:
    paths: dict[str, Any] = {
        name: config.resolve(path)
        for name, path in msgspec.structs.asdict(config.paths).items()
    }
    return PathsConfig(**paths)
