# -*- test-case-name: cocained.test.test_docker_address -*-
"""
Where an engine listens.

``unix:///run/docker.sock``, ``tcp://host:2375`` and, with TLS,
``https://host:2376`` or ``tcp://`` with certificates.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

import msgspec

from cocained.docker.errors import InvalidAddress

#: Where an engine listens unless somebody has told it otherwise.
DEFAULT_ADDRESS = "unix:///var/run/docker.sock"

#: Ports that the engine's documentation gives for TCP and for TLS.
PLAIN_PORT, TLS_PORT = 2375, 2376

#: Bytes of the longest path of a UNIX socket: ``sun_path`` has 108 with its zero.
MAX_PATH = 107

#: What others write and we do not speak, and why.
FOREIGN = {
    "ssh": "forward the socket with ssh -L, and give the local one",
    "npipe": "named pipes exist on Windows only",
    "fd": "that is for the engine itself: give the socket that it inherits",
}

FORMS = "unix:///path, tcp://host:port or https://host:port"


class TLSFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Files in PEM format.

    :param ca: certificates that the engine's must descend from; without it the
        authorities of this system are asked.
    :param cert: our certificate, for engines that want to know who calls.
    :param key: the key that belongs to *cert*; without a passphrase.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key must be given both, or neither")


class Address(msgspec.Struct, frozen=True):
    """
    An address taken apart.

    :param path: of a UNIX socket; empty for the others.
    :param host: name or number; empty for a UNIX socket.
    :param port: 0 for a UNIX socket.
    :param tls: how to speak TLS, ``None`` for not at all.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: TLSFiles | None = None

    @property
    def base(self) -> str:
        """The beginning of each URL; a socket's host is of no importance."""
        if self.path:
            return "http://docker"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}"
        return self.base if self.tls else self.base.replace("http", "tcp", 1)


def parse_address(text: str, tls: TLSFiles | None = None) -> Address:
    """
    Take an address apart.

    :param text: see above; ``http://`` is the same as ``tcp://``.
    :param tls: makes ``tcp://`` the same as ``https://``.
    :raises InvalidAddress: it is none; says what to write.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise _wrong(text, str(error)) from error
    if url.scheme == "unix":
        return _parse_path(text, url, tls)
    if url.scheme in FOREIGN:
        raise _wrong(text, FOREIGN[url.scheme])
    if url.scheme not in ("tcp", "http", "https"):
        raise _wrong(text, f"write it as {FORMS}")
    if not url.hostname or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise _wrong(text, f"it names no host: write it as {FORMS}")
    if url.path not in ("", "/") or url.query or url.fragment or "@" in url.netloc:
        raise _wrong(text, "nothing may stand beside host and port")
    if port == 0:
        raise _wrong(text, "nobody listens on port 0")
    if url.scheme == "http" and tls:
        raise _wrong(text, "certificates are for https:// or tcp://")
    if url.scheme == "https":
        tls = tls or TLSFiles()
    return Address(
        host=url.hostname, port=port or (TLS_PORT if tls else PLAIN_PORT), tls=tls
    )


def _parse_path(text: str, url: SplitResult, tls: TLSFiles | None) -> Address:
    # Not ``url.path``: a socket may have "?" or "#" in its name.
    path = text.partition("://")[2]
    if not path.startswith("/") or "\0" in path:
        raise _wrong(text, "write three slashes and an absolute path: unix:///path")
    if len(path.encode()) > MAX_PATH:
        raise _wrong(text, f"the path of a socket has at most {MAX_PATH} bytes")
    if tls:
        raise _wrong(text, "there is no TLS on a UNIX socket")
    return Address(path=path)


def _wrong(text: str, why: str) -> InvalidAddress:
    return InvalidAddress(f"{text[:200]!r} is no address of an engine: {why}")
