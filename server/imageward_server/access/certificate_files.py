"""The server's certificate, key and client authority as files: read, checked, read again.

Whoever rotates them replaces the files, with or without a signal: they are looked at when
a connection comes. Between two writes a new certificate may stand beside an old key; that
pair is not taken, and the one before stays in force until the files fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from imageward_server.config import Config, InvalidConfig

# A bundle of authorities is larger than a chain; nothing is larger than this.
FILE_BYTES_MAX: Final = 4_000_000


class InvalidCertificate(InvalidConfig):
    """Certificate, key or authority cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Pems:
    """What the files held, as it was checked.

    Attributes:
        chain: the server's certificate and those between it and an authority.
        key: its private key.
        client_ca: the authorities of client certificates; None without any.
        not_after: when the certificate ends, as ISO 8601.
    """

    chain: bytes
    key: bytes
    client_ca: bytes | None
    not_after: str

    def __repr__(self) -> str:
        return f"Pems(not_after={self.not_after!r})"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the files are.

    Attributes:
        certificate: the server's, with its chain, as PEM.
        key: its private key, as PEM, without a password.
        client_ca: authorities of client certificates, as PEM; None to ask for none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Tell which files these are now, to see later whether they were replaced.

        Raises:
            InvalidCertificate: one is not there.
        """
        paths = (self.certificate, self.key, self.client_ca)
        try:
            found = [path.stat() for path in paths if path is not None]
        except OSError as error:
            raise InvalidCertificate(f"a file of TLS cannot be read: {error.strerror}") from error
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def read(self) -> Pems:
        """Read and check them.

        Raises:
            InvalidCertificate: they cannot be read, or do not fit.
        """
        chain, key = _read(self.certificate), _read(self.key)
        client_ca = None if self.client_ca is None else _read(self.client_ca)
        try:
            leaf = x509.load_pem_x509_certificates(chain)[0]
            private_key = load_pem_private_key(key, None)
            if client_ca is not None:
                x509.load_pem_x509_certificates(client_ca)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise InvalidCertificate(
                "a file of TLS holds no PEM of its kind, or a key with a password"
            ) from error
        if private_key.public_key() != leaf.public_key():
            raise InvalidCertificate("the key in tls_key is not that of tls_certificate")
        return Pems(chain, key, client_ca, leaf.not_valid_after_utc.isoformat())


def certificate_files(config: Config) -> CertificateFiles:
    """Return the files that a configuration with TLS names."""
    assert config.tls_certificate is not None
    assert config.tls_key is not None
    return CertificateFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            held = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InvalidCertificate(f"a file of TLS cannot be read: {error.strerror}") from error
    if len(held) > FILE_BYTES_MAX:
        raise InvalidCertificate(f"a file of TLS has over {FILE_BYTES_MAX:,} bytes")
    return held
