"""Credentials as the configuration holds them, and the secrets that it does not hold.

A secret is 256 random bits that this program has made. Its SHA-256 cannot be searched, so
no slow hash is needed: a call's secret is verified in microseconds, and one who sends
wrong ones costs no more than one who sends the right one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from imageward_server.access.identity import NAME_PATTERN, ROLES, Role
from imageward_server.access.roles import METHODS

SECRET_BYTES: Final = 32
_SCHEME: Final = "sha256"
_DIGEST_BYTES: Final = 32

Name = Annotated[str, Field(pattern=rf"^{NAME_PATTERN}$")]


class Credential(BaseModel):
    """What the configuration says of one caller.

    Attributes:
        role: what it may.
        secret_hash: of its token's secret, as `imageward-server credentials new` prints it;
            empty for one that comes by a certificate alone.
        methods: the only methods of its role that it may call; empty for all of them.
        calls_per_s: its rate on each worker; None for the configuration's own, 0 for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Role
    secret_hash: str = ""
    methods: frozenset[str] = frozenset()
    calls_per_s: float | None = Field(None, ge=0)

    @field_validator("role")
    @classmethod
    def _check_role(cls, role: Role) -> Role:
        if role not in ROLES:
            raise ValueError(f"no credential has the role {role}; use {', '.join(ROLES)}")
        return role

    @field_validator("secret_hash")
    @classmethod
    def _check_hash(cls, text: str) -> str:
        if text and not is_secret_hash(text):
            raise ValueError("is no hash; `imageward-server credentials new` makes one")
        return text

    @field_validator("methods")
    @classmethod
    def _check_methods(cls, methods: frozenset[str]) -> frozenset[str]:
        if unknown := sorted(methods - METHODS):
            raise ValueError(f"{unknown[0]} is no method; name methods alone, such as CheckImage")
        return methods

    def has_secret(self, secret: str) -> bool:
        """Tell whether a secret is this credential's."""
        return bool(self.secret_hash) and hmac.compare_digest(
            hash_secret(secret).encode(), self.secret_hash.encode()
        )


def new_secret() -> str:
    """Make a secret: 256 random bits, 43 characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> str:
    """Hash a secret that `new_secret` has made; the text names its scheme."""
    digest = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
    return f"{_SCHEME}${base64.urlsafe_b64encode(digest).decode()}"


def is_secret_hash(text: str) -> bool:
    """Tell whether a text was made by `hash_secret`."""
    scheme, _, digest = text.partition("$")
    try:
        return scheme == _SCHEME and len(base64.urlsafe_b64decode(digest)) == _DIGEST_BYTES
    except ValueError:
        return False
