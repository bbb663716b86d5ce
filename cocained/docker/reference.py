# -*- test-case-name: cocained.test.test_docker_reference -*-
"""
Names of images and containers.

``[REGISTRY[:PORT]/]PATH[:TAG][@ALGORITHM:HEX]``, by the rules of the
distribution project: the first component is a registry if it has a dot, a
colon or a capital letter, or is ``localhost``.
"""

from __future__ import annotations

import re

import msgspec

from cocained.docker.errors import InvalidName

#: Where names without a registry lead, and how its credentials are filed.
DEFAULT_REGISTRY = "docker.io"
HUB_INDEX = "https://index.docker.io/v1/"

#: What an engine takes when neither tag nor digest is given.  It is always
#: said aloud: a pull without tag would fetch all tags there are.
DEFAULT_TAG = "latest"

#: Signs of registry and path together.
MAX_NAME = 255

_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(
    r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,512}"
)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}|sha256:[0-9a-f]{12,63}")
_CONTAINER = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")


class Reference(msgspec.Struct, frozen=True):
    """
    A name taken apart.

    :param registry: host and perhaps port; empty when the name has none.
    :param path: of the repository inside the registry.
    :param tag: empty when the name has none.
    :param digest: empty when the name has none.
    """

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """The name without tag and digest, as it was written."""
        return f"{self.registry}/{self.path}" if self.registry else self.path

    @property
    def host(self) -> str:
        """The registry that has it, whether named or not."""
        return self.registry or DEFAULT_REGISTRY

    def pinned(self) -> Reference:
        """Give the same with :data:`DEFAULT_TAG` if it points nowhere yet."""
        if self.tag or self.digest:
            return self
        return msgspec.structs.replace(self, tag=DEFAULT_TAG)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """
    Take a name apart.

    :raises InvalidName: no image can have it; says which part is wrong.
    """
    name, has_digest, digest = text.partition("@")
    # A colon behind the last slash begins a tag, one before it a port.
    head, slash, last = name.rpartition("/")
    last, has_tag, tag = last.partition(":")
    name = f"{head}{slash}{last}"
    if has_tag:
        check_tag(tag, text)
    if has_digest:
        _check_digest(digest, text)
    first, has_path, rest = name.partition("/")
    if has_path and _is_registry(first):
        registry, path = first, rest
        if not _REGISTRY.fullmatch(registry):
            raise _wrong(text, f"{registry!r} is no host and port of a registry")
    else:
        registry, path = "", name
    _check_path(path, text)
    if len(name) > MAX_NAME:
        raise _wrong(text, f"it has more than {MAX_NAME} signs")
    if not registry and re.fullmatch("[0-9a-f]{64}", path):
        raise _wrong(text, "64 hexadecimal digits are the identifier of an image")
    return Reference(registry, path, tag, digest)


def _is_registry(first: str) -> bool:
    return (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )


def check_tag(tag: str, text: str) -> None:
    """
    Look at a tag.

    :param text: all of the name, for the message.
    :raises InvalidName: no image can have it.
    """
    if not _TAG.fullmatch(tag):
        raise _wrong(
            text, f"the tag {tag!r} is not 1 to 128 letters, digits, '_', '.' and '-'"
        )


def _check_digest(digest: str, text: str) -> None:
    sound = _SHA256 if digest.startswith("sha256:") else _DIGEST
    if not sound.fullmatch(digest):
        raise _wrong(text, f"the digest {digest!r} is not like sha256:<64 digits>")


def _check_path(path: str, text: str) -> None:
    for component in path.split("/"):
        if not component:
            raise _wrong(text, "a part of it is empty")
        if not _COMPONENT.fullmatch(component):
            raise _wrong(
                text,
                f"{component!r} is not small letters and digits, with '.', '_', "
                "'__' or '-' between them",
            )


def _wrong(text: str, why: str) -> InvalidName:
    shown = text if len(text) <= MAX_NAME else f"{text[:MAX_NAME]}…"
    return InvalidName(f"{shown!r} cannot be the name of an image: {why}")


def image_name(text: str | Reference) -> str:
    """
    Check what an engine is to look up: a reference or an identifier.

    :returns: the same.
    :raises InvalidName: it is neither.
    """
    if isinstance(text, str) and not _IMAGE_ID.fullmatch(text):
        parse_reference(text)
    return str(text)


def container_name(text: str) -> str:
    """
    Check the name or the identifier of a container.

    :returns: the same.
    :raises InvalidName: no container can have it.
    """
    if not _CONTAINER.fullmatch(text):
        raise InvalidName(
            f"{text[:MAX_NAME]!r} cannot be the name of a container: it takes 2 to 255 "
            "letters, digits, '_', '.' and '-', the first a letter or a digit"
        )
    return text
