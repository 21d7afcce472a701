"""Accounts: who may call or sign in, as what. The one place that asks for a role.

Today they are read from the intake's file. What replaces that replaces this module.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

import grpc

from imageward_server.errors import PermissionDenied, Unauthenticated
from imageward_server.intake.credentials import digest_token, verify_secret
from imageward_server.intake.settings import Account

_SCHEME: Final = "Bearer "


class Accounts:
    """The accounts of a configuration. Safe under concurrent use.

    Args:
        accounts: by name.
    """

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
        self._lock = threading.Lock()
        # scrypt is slow on purpose; a secret that was right once need not be asked again.
        self._verified: dict[bytes, str] = {}

    def verify(self, name: str, secret: str) -> Account | None:
        """Return the account of a name if the secret is its own."""
        key = digest_token(f"{name}.{secret}")
        with self._lock:
            if self._verified.get(key) == name:
                return self._accounts[name]
        account = self._accounts.get(name)
        if not verify_secret(secret, account.secret_hash if account else None):
            return None
        with self._lock:
            self._verified[key] = name
        return account

    def require_role(self, context: grpc.ServicerContext, role: str) -> str:
        """Return the name of the account that makes a call.

        Raises:
            Unauthenticated: the call has no token `NAME.SECRET`, or a wrong one.
            PermissionDenied: the account has another role.
        """
        name, _, secret = _bearer_token(context).partition(".")
        account = self.verify(name, secret)
        if account is None:
            raise Unauthenticated(
                "the call has no valid token; send metadata `authorization: Bearer NAME.SECRET`"
            )
        if account.role != role:
            raise PermissionDenied(
                f"the account's role is {account.role}, and this call is for {role}s; "
                "use another account",
                role=role,
            )
        return name


def _bearer_token(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == "authorization" and isinstance(value, str) and value.startswith(_SCHEME):
            return value.removeprefix(_SCHEME)
    return ""
