# -*- test-case-name: cocained.test.test_docker_tls -*-
"""
Certificates for an hour, for the tests that speak TLS.

An authority signs those of servers and of clients alike::

    authority = Authority("ours")
    pair = authority.issue("engine", hosts=["localhost", "127.0.0.1"])
    pair.certificate, pair.key      # PEM
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOUR = datetime.timedelta(hours=1)


class Pair(NamedTuple):
    """A certificate and its key, in PEM format."""

    certificate: bytes
    key: bytes

    def protected_key(self, passphrase: bytes) -> bytes:
        """Give the key as it is kept under a passphrase."""
        key = serialization.load_pem_private_key(self.key, None)
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(passphrase),
        )


class Authority:
    """
    Signs certificates.

    Its key is of an elliptic curve: one for RSA takes a second to make.

    :param name: of the authority.
    :ivar certificate: its own, in PEM format.
    """

    def __init__(self, name: str) -> None:
        self._name = _name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self._name, self._key, [], is_authority=True)

    def issue(self, name: str, hosts: Sequence[str] = ()) -> Pair:
        """
        Make a certificate.

        :param name: whose it is.
        :param hosts: names and numbers at which a server may have it.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        text = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return Pair(self._sign(_name(name), key, hosts), text)

    def _sign(
        self,
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        hosts: Sequence[str],
        is_authority: bool = False,
    ) -> bytes:
        # An hour ago: a clock that was set meanwhile makes no difference.
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - HOUR)
            .not_valid_after(now + HOUR)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(each) for each in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
