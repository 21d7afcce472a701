"""The one place that says who calls and whether that is allowed.

1. `identify`: the call's token, or else its connection's certificate -> an identity
2. `admit`: identity and method -> let in, or refused by the table of roles
3. `replace`: other rules from now on; calls that stay open and are refused by them end
"""

from __future__ import annotations

import functools
import hashlib
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from imageward_server.access.credential import Credential
from imageward_server.access.identity import DEVELOPER, Identity, read_uris
from imageward_server.access.roles import roles_of
from imageward_server.errors import PermissionDenied, Unauthenticated

if TYPE_CHECKING:
    import grpc

_BEARER: Final = "Bearer "
# Certificates whose fingerprint is remembered: each is asked for at each of its calls.
_FINGERPRINTS_MAX: Final = 1_024


class Rules(NamedTuple):
    """What a configuration says of access.

    Attributes:
        credentials: by name.
        revoked: names, and SHA-256 fingerprints of certificates, that are refused.
        is_open: let everybody do everything: a server on loopback, for development.
    """

    credentials: Mapping[str, Credential]
    revoked: frozenset[str] = frozenset()
    is_open: bool = False


class Access:
    """Decides by rules that may be replaced. Safe under concurrent use.

    Args:
        rules: those of the start.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        # Calls that stay open, and their methods.
        self._open: dict[grpc.ServicerContext, str] = {}

    def replace(self, rules: Rules) -> None:
        """Decide by other rules from now on, and end what they refuse."""
        with self._lock:
            self._rules = rules
            open_calls = list(self._open.items())
        for context, method in open_calls:
            if not self._may(method, self.identify(context)):
                context.cancel()

    def identify(self, context: grpc.ServicerContext) -> Identity | None:
        """Say who a call is from; None if it does not prove to be from anybody."""
        rules = self._rules
        if rules.is_open:
            return DEVELOPER
        token = _token_of(context)
        if token is not None:
            name, _, secret = token.partition(".")
            return self.sign_in(name, secret)
        return _certified(context, rules)

    def sign_in(self, name: str, secret: str) -> Identity | None:
        """Return the identity of a name, if the secret is its own."""
        rules = self._rules
        credential = rules.credentials.get(name)
        if credential is None or name in rules.revoked or not credential.has_secret(secret):
            return None
        return Identity(name, credential.role)

    def has(self, identity: Identity) -> bool:
        """Tell whether a credential of this name and role is still in force."""
        rules = self._rules
        credential = rules.credentials.get(identity.name)
        return (
            credential is not None
            and credential.role is identity.role
            and identity.name not in rules.revoked
        )

    def admit(self, method: str, identity: Identity | None) -> None:
        """Let a call go on.

        Raises:
            Unauthenticated: it is not known whose it is.
            PermissionDenied: whose it is may not.
        """
        if self._may(method, identity):
            return
        if identity is None:
            raise Unauthenticated(
                "the call has no valid credential; send metadata `authorization: Bearer "
                "NAME.SECRET`, or a client certificate where the server asks for one"
            )
        raise PermissionDenied(
            f"a credential of the role {identity.role} may not make this call, or this one is "
            "kept to other methods; use another credential",
            role=identity.role,
        )

    def calls_per_s_of(self, identity: Identity | None) -> float | None:
        """Return the rate of an identity, if it has one of its own; 0 for no limit."""
        credential = self._rules.credentials.get(identity.name) if identity else None
        return credential.calls_per_s if credential else None

    @contextmanager
    def while_open(self, context: grpc.ServicerContext, method: str) -> Iterator[None]:
        """Follow a call that stays open: it ends when whose it is may not any more.

        Raises:
            Unauthenticated: as `admit`, whose rules may have been replaced meanwhile.
            PermissionDenied: the same.
        """
        with self._lock:
            self._open[context] = method
        try:
            self.admit(method, self.identify(context))
            yield
        finally:
            with self._lock:
                del self._open[context]

    def _may(self, method: str, identity: Identity | None) -> bool:
        allowed = roles_of(method)
        if identity is None or None in allowed:
            return None in allowed
        credential = self._rules.credentials.get(identity.name)
        kept_to = credential.methods if credential else frozenset()
        is_kept_out = bool(kept_to) and method.rpartition("/")[2] not in kept_to
        return identity.role in allowed and not is_kept_out


def _token_of(context: grpc.ServicerContext) -> str | None:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            return value.removeprefix(_BEARER) if isinstance(value, str) else ""
    return None


def _certified(context: grpc.ServicerContext, rules: Rules) -> Identity | None:
    """Read the identity of the connection's certificate, which gRPC has verified."""
    # Typed as if each value were one bytes; it is a list of them.
    peer = cast("Mapping[str, Sequence[bytes]]", context.auth_context())
    identity = read_uris(uri.decode("ascii", "replace") for uri in peer.get("peer_uri", ()))
    if identity is None or identity.name in rules.revoked:
        return None
    fingerprints = {_fingerprint(pem) for pem in peer.get("x509_pem_cert", ())}
    if not fingerprints or fingerprints & rules.revoked:
        return None
    credential = rules.credentials.get(identity.name)
    # The configuration knows the name as something else: one of the two is wrong.
    return None if credential and credential.role is not identity.role else identity


@functools.lru_cache(_FINGERPRINTS_MAX)
def _fingerprint(pem: bytes) -> str:
    """Return a certificate's SHA-256 fingerprint, 64 hexadecimal digits."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.decode())).hexdigest()
