"""The intake's own configuration: one TOML file, one frozen value.

Named by the server's setting `intake_config`; without it there is no intake.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from imageward_server.config import InvalidConfig, is_loopback


class IntakeSettings(BaseModel):
    """Everything that can be set about the intake."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(
        "127.0.0.1:8080", description="Address and port of the pages.", pattern=r"^.+:[0-9]{1,5}$"
    )
    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="What links begin with, without a path; https but on loopback.",
    )
    master_key_file: Path | None = Field(
        None,
        description="File of the master key. Without it, the environment's variable is read.",
    )
    bank: str = Field("intake", description="Bank that approved pictures are banked in.")
    regions: tuple[str, ...] = Field(
        ("US", "UK", "CA", "AU"), description="Regions that cases may name.", min_length=1
    )
    link_h: int = Field(72, ge=1, le=168, description="Hours until a link expires.")
    reviewers_required: int = Field(
        1, ge=1, le=3, description="Reviewers who must agree on a picture."
    )
    contact_days: int = Field(
        30, ge=1, le=365, description="Days after the last deletion until the contact is erased."
    )
    tick_s: float = Field(30.0, gt=0, le=600, description="Seconds between rounds of the job.")
    smtp_host: str = Field("127.0.0.1", description="Mail server.")
    smtp_port: int = Field(25, ge=1, le=65_535, description="Its port.")
    smtp_security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="How the connection to it is encrypted."
    )
    smtp_user: str = Field("", description="Name to log in with. Empty: no login.")
    smtp_password_file: Path | None = Field(None, description="File of the password.")
    mail_from: str = Field(
        "imageward@localhost", description="Sender of all mail.", pattern=r"^[^@\s]+@[^@\s]+$"
    )

    @field_validator("public_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.path or parts.query or not parts.hostname:
            raise ValueError(f"{url} is not scheme and host alone, such as https://help.example")
        if parts.scheme != "https" and not is_loopback(parts.hostname):
            raise ValueError(f"{url} is not https: pictures would cross the network in clear")
        return url

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the pages by TLS."""
        return self.public_url.startswith("https:")


def load_settings(file: Path) -> IntakeSettings:
    """Read the intake's file.

    Raises:
        InvalidConfig: it cannot be read, or a value cannot be used.
    """
    try:
        return IntakeSettings(**tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"the intake's file {file} cannot be read: {error}") from error
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in problem['loc'])} (from {file}): {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidConfig("; ".join(lines)) from error
