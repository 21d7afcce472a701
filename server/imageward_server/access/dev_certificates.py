"""Certificates for development: an authority, a server on loopback, a client of every role.

A folder that has an authority keeps it, and gets new certificates of it, each put in its
place as a whole: that is how a rotation is tried out.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from imageward_server.access.identity import ROLES, Identity, uri_of

CA_DAYS: Final = 365
LEAF_DAYS: Final = 30
# Clocks that are a little behind are no reason to refuse a new certificate.
_BACKDATED: Final = dt.timedelta(minutes=5)
CA_NAME: Final = "ca"
SERVER_NAME: Final = "server"


class Authority(NamedTuple):
    """A certificate that signs others, and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_all(folder: Path) -> list[Path]:
    """Make or renew the certificates of a folder; return their files.

    Raises:
        OSError: it cannot be written.
        ValueError: its authority cannot be read.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = open_authority(folder)
    local = [
        x509.DNSName("localhost"),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")),
    ]
    made = [_issue(folder, authority, SERVER_NAME, local, ExtendedKeyUsageOID.SERVER_AUTH)]
    made += [issue_client(folder, authority, Identity(f"dev-{role}", role)) for role in ROLES]
    return made


def issue_client(folder: Path, authority: Authority, identity: Identity) -> Path:
    """Make a client's certificate; return its file, named by the identity's role."""
    names = [x509.UniformResourceIdentifier(uri_of(identity))]
    return _issue(folder, authority, identity.role, names, ExtendedKeyUsageOID.CLIENT_AUTH)


def open_authority(folder: Path) -> Authority:
    """Read the authority of a folder, or make one.

    Raises:
        OSError: it cannot be read or written.
        ValueError: it is not one that this module has made.
    """
    certificate_file, key_file = folder / f"{CA_NAME}.pem", folder / f"{CA_NAME}.key"
    if certificate_file.exists():
        key = load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the folder's authority is not one of this command's")
        return Authority(x509.load_pem_x509_certificate(certificate_file.read_bytes()), key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "imageward development")])
    certificate = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    _put(key_file, _pem_of(key))
    _put(certificate_file, certificate.public_bytes(Encoding.PEM))
    return Authority(certificate, key)


def _issue(
    folder: Path,
    authority: Authority,
    file_name: str,
    names: Sequence[x509.GeneralName],
    usage: x509.ObjectIdentifier,
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, file_name)])
    certificate = (
        _builder(subject, authority.certificate.subject, key.public_key(), LEAF_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
    file = folder / f"{file_name}.pem"
    _put(folder / f"{file_name}.key", _pem_of(key))
    _put(file, certificate.public_bytes(Encoding.PEM))
    return file


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _put(file: Path, held: bytes) -> None:
    """Write a file that its owner alone may read, in the place of the one before."""
    new = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(held)
    new.replace(file)
