"""TLS of the gRPC server: certificates that change while it serves.

gRPC asks for the certificate before each handshake, and speaks TLS 1.2 and 1.3 alone.
Connections that are open keep what they began with, so that a change loses no call.
"""

from __future__ import annotations

import threading

import grpc
import structlog

from imageward_server.access.certificate_files import CertificateFiles, InvalidCertificate, Pems

log = structlog.get_logger(__name__)


class ServerTls:
    """The certificate in force. Safe under concurrent use.

    Args:
        files: where it is.

    Raises:
        InvalidCertificate: it cannot be used.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamp = files.stamp()
        self._pems = files.read()
        # The stamp of files that could not be used, which has been logged.
        self._bad_stamp: object = None
        log.info("certificate taken", not_after=self._pems.not_after)

    def credentials(self) -> grpc.ServerCredentials:
        """Make what gRPC listens with."""
        return grpc.dynamic_ssl_server_credentials(
            _as_grpc(self._pems),
            self._fetch,  # type: ignore[arg-type] # it may return None, says its docstring
            require_client_authentication=self._pems.client_ca is not None,
        )

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what a handshake that begins takes; None for what the one before took."""
        with self._lock:
            stamp = None
            try:
                stamp = self._files.stamp()
                if stamp == self._stamp:
                    return None
                self._pems = self._files.read()
            except InvalidCertificate as error:
                if stamp != self._bad_stamp:
                    log.warning("certificate not taken; the one before stays", error=str(error))
                self._bad_stamp = stamp
                return None
            self._stamp = stamp
            log.info("certificate taken", not_after=self._pems.not_after)
            return _as_grpc(self._pems)


def _as_grpc(pems: Pems) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pems.key, pems.chain)], pems.client_ca)
