"""What a client needs for TLS: files, which may be replaced while it is used."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import grpc

# Which files these are: inode, time of the last change in ns, size in bytes of each.
Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Tls:
    """How to know a server, and to be known by it.

    The files are looked at once a second while calls are made. When they were replaced,
    calls from then on take new connections, and those that run end on the old ones.

    Attributes:
        ca_file: PEM of the authorities of servers; None for those that gRPC ships.
        certificate_file: PEM of the client's certificate and its chain; None without one.
        key_file: PEM of its private key; given with the certificate, and only then.
        server_name: the name in the server's certificate, where it is not the target's;
            empty otherwise.

    Raises:
        ValueError: there is a certificate without a key, or a key without a certificate.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    server_name: str = ""

    def __post_init__(self) -> None:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together; give both, or none.")

    def stamp(self) -> Stamp:
        """Tells which files these are now.

        Raises:
            OSError: one is not there.
        """
        paths = (self.ca_file, self.certificate_file, self.key_file)
        found = [path.stat() for path in paths if path is not None]
        return tuple((one.st_ino, one.st_mtime_ns, one.st_size) for one in found)

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files.

        Raises:
            OSError: one cannot be read, or the key is not that of the certificate.
        """
        if self.certificate_file is not None:
            # gRPC would notice at the first call. ssl.SSLError is an OSError.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                self.certificate_file, self.key_file
            )
        return grpc.ssl_channel_credentials(
            _read(self.ca_file), _read(self.key_file), _read(self.certificate_file)
        )

    def options(self) -> list[tuple[str, str]]:
        """Returns the options that a channel needs beside the credentials."""
        return [("grpc.ssl_target_name_override", self.server_name)] if self.server_name else []


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
