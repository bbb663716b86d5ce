# -*- test-case-name: cocained.test.test_docker_tls -*-
"""
TLS towards an engine: what we show and want to see, and what an error of it
means.

OpenSSL need not be here: only an address with TLS asks for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.error import VerifyError

from cocained.docker.address import Address, TLSFiles
from cocained.docker.errors import EngineUnreachable, InvalidAddress

CLIENT_REMEDY = (
    "give as cert and key what the engine's authority has signed for a client, "
    "and see that it is not out of date"
)
#: Remedies by a part of OpenSSL's words; the first that fits counts.
REMEDIES = {
    "certificate verify failed": "give as ca the authority that has signed the "
    "engine's certificate, and see that neither is out of date",
    # The rest that names one is what the engine's side says of ours: "bad",
    # "required", "unknown", "expired".
    "certificate": CLIENT_REMEDY,
    "unknown ca": CLIENT_REMEDY,
    "wrong version number": "the engine does not speak TLS there: write tcp:// "
    "without certificates, or correct the port",
}
REMEDY = "check ca, cert and key, and that the engine speaks TLS there"
RENAME = "name the engine as its certificate does, or give it one for this name"


def tls_options(address: Address, files: TLSFiles) -> Any:
    """
    Read certificates and make what wraps a connection.

    :param address: its host is what the engine's certificate must name.
    :raises InvalidAddress: TLS is not installed, or they cannot be used.
    """
    try:
        from OpenSSL import (  # type: ignore[import-not-found,unused-ignore]
            SSL,
            crypto,
        )
        from twisted.internet import ssl
    except ImportError as error:
        raise InvalidAddress(
            f"{address} needs TLS, which is not installed ({error}): "
            "pip install 'twisted[tls]'"
        ) from error
    try:
        trust = None
        if files.ca is not None:
            trust = ssl.trustRootFromCertificates(
                [
                    ssl.Certificate.loadPEM(each)
                    for each in _certificates(Path(files.ca).read_bytes())
                ]
            )
        ours = None
        if files.cert is not None and files.key is not None:
            pair = Path(files.cert).read_bytes() + b"\n" + Path(files.key).read_bytes()
            ours = ssl.PrivateCertificate.loadPEM(_without_passphrase(pair))
    except (OSError, ValueError, SSL.Error, crypto.Error, VerifyError) as error:
        raise InvalidAddress(
            f"the certificates for {address} cannot be used: {_words(error)}: check "
            f"that {files} are readable files in PEM format that belong together"
        ) from error
    try:
        return ssl.optionsForClientTLS(address.host, trust, ours)
    except ValueError as error:
        raise InvalidAddress(
            f"{address} has a host that no certificate can name: {error}: correct it"
        ) from error


def _certificates(data: bytes) -> list[bytes]:
    """Part a file with several certificates."""
    end = b"-----END CERTIFICATE-----"
    found = [each + end for each in data.split(end)[:-1]]
    if not found:
        raise ValueError("there is no certificate in it")
    return found


def _without_passphrase(pair: bytes) -> bytes:
    """See that no key has a passphrase: OpenSSL would ask the terminal for it."""
    # Either kind of key says so.  By chance, base64 does in one of 10**13 keys.
    if b"ENCRYPTED" in pair:
        raise ValueError("the key has a passphrase: remove it with openssl pkey")
    return pair


def is_tls_error(error: BaseException) -> bool:
    """Whether it is OpenSSL's or a certificate's, neither of which need be here."""
    place = type(error).__module__
    return place.startswith(("OpenSSL", "service_identity"))


def tls_failure(
    error: BaseException, asked: str, address: Address
) -> EngineUnreachable:
    """
    Say what an error of :func:`is_tls_error` means.

    :param asked: what was to be done.
    """
    mismatches = getattr(error, "errors", None)
    if mismatches:
        # Its own words are the representation of an object.
        words = f"the engine's certificate is not for {address.host!r}"
        remedy = RENAME
    else:
        words = _words(error)
        fitting = (advice for part, advice in REMEDIES.items() if part in words)
        remedy = next(fitting, REMEDY)
    return EngineUnreachable(
        f"TLS failed: {words}", asked=asked, engine=str(address), remedy=remedy
    )


def _words(error: BaseException) -> str:
    """Give the reasons of an OpenSSL error, which come as a list of triples."""
    queue = error.args[0] if error.args else None
    if isinstance(queue, list):
        words = "; ".join(str(entry[-1]) for entry in queue)
    else:
        words = str(error).rstrip(".")
    return words or type(error).__name__
