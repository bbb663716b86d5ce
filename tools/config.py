# -*- test-case-name: cocained.test.test_tools_config -*-
"""
Where the tool finds its node: ``tools.yml`` of the machine, then of the user.

The second is merged over the first: maps merge, lists append, scalars replace
(tools.md §1).  The command line beats both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cocained.tools.failures import BadValue

#: Bytes of one file; it has two sections of five values in all.
FILE_LIMIT = 65536

DEFAULT_HOST = "localhost"
DEFAULT_PORT = 10053


def default_paths() -> list[str]:
    """The two files, the weaker one first."""
    return [
        "/etc/cocaine/.cocaine/tools.yml",
        os.path.expanduser("~/.cocaine/tools.yml"),
    ]


@dataclass(frozen=True)
class Config:
    """
    What the files say.

    :param host: of the locator.
    :param port: of the locator, 0…65535.
    :param secure: whether they ask for signed requests.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    secure: bool = False


_SCHEMA: Mapping[str, Mapping[str, type]] = {
    "locator": {"host": str, "port": int},
    "secure": {"mod": str, "client_id": int, "client_secret": str},
}


def load_config(paths: Iterable[str]) -> Config:
    """
    Read and merge the files that exist.

    :raises BadValue: one of them cannot be used; the message names it.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        document = _read(path)
        if document is not None:
            _check(document, path)
            merged = _merge(merged, document)
    locator = merged.get("locator") or {}
    return Config(
        locator.get("host", DEFAULT_HOST),
        locator.get("port", DEFAULT_PORT),
        bool(merged.get("secure")),
    )


def _read(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadValue(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > FILE_LIMIT:
        raise BadValue(f"{path} is larger than {FILE_LIMIT} bytes")
    # Half of the tool's start-up time if it were imported always.
    import yaml

    try:
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise BadValue(f"{path} is no YAML: {text}") from error


def _check(document: Any, path: str) -> None:
    if not isinstance(document, dict):
        raise BadValue(f"{path}: expected a map with {' and '.join(_SCHEMA)}")
    for section, values in document.items():
        if section not in _SCHEMA:
            raise BadValue(
                f"{path}: unknown section {section!r}",
                f"there are {' and '.join(_SCHEMA)}",
            )
        if values is None:
            continue
        if not isinstance(values, dict):
            raise BadValue(f"{path}: {section} is no map")
        for key, value in values.items():
            kind: type | None = _SCHEMA[section].get(key)
            if kind is None:
                raise BadValue(
                    f"{path}: unknown key {section}.{key}",
                    f"there are {', '.join(_SCHEMA[section])}",
                )
            if type(value) is not kind:
                wanted = {str: "text", int: "a whole number"}[kind]
                raise BadValue(f"{path}: {section}.{key} must be {wanted}")
            if isinstance(value, int) and key == "port" and not 0 <= value <= 65535:
                raise BadValue(f"{path}: locator.port must be 0 to 65535")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge(old, value)
        elif value is not None or key not in merged:
            merged[key] = value
    return merged
