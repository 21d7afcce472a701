"""The configuration: one frozen value, from flags, environment, a TOML file and defaults.

Flags win over the environment, the environment over the file, the file over the
defaults. Where each value came from is kept, so that it can be shown.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from imageward_server.access import Credential, Rules
from imageward_server.access.credential import Name
from imageward_server.access.identity import NAME_PATTERN

# Each is held by every worker, and sent to it at a reload.
CREDENTIALS_MAX = 10_000
ENV_PREFIX = "IMAGEWARD_SERVER_"
# Named by --config or this variable.
ENV_FILE = ENV_PREFIX + "CONFIG"
PORT_MAX = 65_535
# A credential's name, or a certificate's SHA-256 fingerprint.
REVOKED_PATTERN = rf"^({NAME_PATTERN}|[0-9a-f]{{64}})$"


class InvalidConfig(Exception):
    """A value of the configuration cannot be used; the message names it and its origin."""


class Config(BaseSettings):
    """Everything that can be set about a server."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENV_PREFIX)

    data_dir: Path = Field(
        Path("imageward-data"), description="Folder of the embedded store; made if it is missing."
    )
    store_url: str = Field(
        "",
        description="SQLAlchemy URL of the store. Empty: SQLite in data_dir.",
        pattern=r"^$|^[a-z0-9+]+://",
    )
    listen: str = Field(
        "127.0.0.1:50051",
        description="Address and port to listen on; port 0 takes a free one.",
        pattern=r"^.+:[0-9]{1,5}$",
    )
    workers: int = Field(
        1, ge=1, le=256, description="Processes that serve; one for each core is a good number."
    )
    pin_workers: bool = Field(
        default=True,
        description="Keep each worker's calls to one processor, where workers are as many.",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the server's certificate and its chain."
    )
    tls_key: Path | None = Field(None, description="PEM file of its private key.")
    tls_client_ca: Path | None = Field(
        None,
        description="PEM file of the authorities of client certificates, which are required then.",
    )
    insecure: bool = Field(default=False, description="Serve without TLS, on loopback alone.")
    insecure_anywhere: bool = Field(
        default=False, description="Serve without TLS where other machines reach it, too."
    )
    credentials: dict[Name, Credential] = Field(
        default_factory=dict,
        max_length=CREDENTIALS_MAX,
        description="Who may call and sign in, as what: tables by name.",
    )
    revoked: frozenset[Annotated[str, Field(pattern=REVOKED_PATTERN)]] = Field(
        frozenset(),
        max_length=CREDENTIALS_MAX,
        description="Names, and SHA-256 fingerprints of client certificates, to refuse.",
    )
    surfaces: frozenset[str] = Field(
        frozenset({"FACEBOOK", "INSTAGRAM", "MESSENGER"}),
        description="Surfaces that checks and policies may name.",
    )
    call_threads: int = Field(
        64, ge=1, le=1024, description="Single calls in the server at once; more are refused."
    )
    compute_threads: int = Field(
        2, ge=1, le=1024, description="Calls that decode, hash or search at once."
    )
    cage_cells: int = Field(
        0,
        ge=0,
        le=1024,
        description="Processes that decode and hash; 0 makes one for each compute thread.",
    )
    cage_slow_cells: int = Field(
        2, ge=1, le=1024, description="Images that take long, decoded at once at a low priority."
    )
    streams_max: int = Field(64, ge=1, le=4096, description="Streams open at once.")
    held_bytes_max: int = Field(
        256_000_000,
        ge=72_000_000,  # a caller may hold half: the largest message
        description="Bytes of requests in the server at once.",
    )
    caller_calls_per_s: float = Field(
        0.0, ge=0, description="Calls a second that each caller may make; 0 for no limit."
    )
    deadline_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="Seconds that a call without a deadline gets, and a stream's question.",
    )
    connections_max: int = Field(4096, ge=1, description="Connections open at once.")
    feed_poll_s: float = Field(
        0.1, gt=0, le=60, description="Seconds between looks for changes by other processes."
    )
    connection_age_s: float = Field(
        300.0,
        ge=1,
        le=86_400,
        description="Seconds after which a connection is asked to come anew, to another worker.",
    )
    connection_idle_s: float = Field(
        900.0, gt=0, le=86_400, description="Seconds after which an unused connection is closed."
    )
    connection_grace_s: float = Field(
        3600.0, gt=0, le=86_400, description="Seconds that calls of an aged connection may go on."
    )
    seal_codes: int = Field(
        0,
        ge=0,
        le=1 << 25,
        description="New codes from which on they are sealed; 0: 32,768 hashes, 131,072 regional.",
    )
    store_key_file: Path | None = Field(
        None,
        description="File of the key that the store is encrypted with. Without it, the "
        "environment's IMAGEWARD_STORE_KEY; without either, hashes lie in clear.",
    )
    key_dir: Path | None = Field(
        None, description="Folder of the entries' keys. Without it, `keys` in data_dir."
    )
    erase_after_h: float = Field(
        168.0,
        ge=0,
        le=8_760,
        description="Hours that withdrawn entries can be restored, before they are erased.",
    )
    erase_every_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="Seconds between rounds of erasing; each may write large segments anew.",
    )
    notice_s: float = Field(
        0.0,
        ge=0,
        le=600,
        description="Seconds that a stopping server answers after its health says NOT_SERVING.",
    )
    grace_s: float = Field(
        10.0, ge=0, le=600, description="Seconds that running calls then have to finish."
    )
    audit_key_file: Path | None = Field(
        None,
        description="File of the audit's key. Without it, the environment's variable is read, "
        "and without that audit.key in data_dir.",
    )
    intake_config: Path | None = Field(
        None, description="TOML file of the intake. Without it there is no intake."
    )
    health_listen: str = Field(
        "",
        description="Address and port for probes that speak no TLS; health alone. Empty: none.",
        pattern=r"^$|^.+:[0-9]{1,5}$",
    )
    metrics_listen: str = Field(
        "",
        description="Address and port that Prometheus scrapes. Empty: nothing is counted.",
        pattern=r"^$|^.+:[0-9]{1,5}$",
    )
    traces_endpoint: str = Field(
        "",
        description="URL of an OTLP receiver (gRPC) for traces. Empty: none are made.",
        pattern=r"^$|^https?://.+$",
    )
    traces_share: float = Field(
        1.0, ge=0, le=1, description="Share of calls traced where the client has not decided."
    )
    log_format: Literal["text", "json"] = Field("text", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log lines to write."
    )

    @field_validator("surfaces")
    @classmethod
    def _check_surfaces(cls, surfaces: frozenset[str]) -> frozenset[str]:
        for name in surfaces:
            if not (name.isascii() and name.replace("_", "A").isalnum() and name.isupper()):
                raise ValueError(f"surface {name!r} is not of capital letters, digits and '_'")
        if not surfaces:
            raise ValueError("name at least one surface")
        return surfaces

    @field_validator("listen")
    @classmethod
    def _check_port(cls, listen: str) -> str:
        port = int(listen.rpartition(":")[2])
        if port > PORT_MAX:
            raise ValueError(f"port {port} is over {PORT_MAX}")
        return listen

    @model_validator(mode="after")
    def _check_tls(self) -> Config:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together: set both, or none")
        if self.tls_client_ca is not None and not self.has_tls:
            raise ValueError("tls_client_ca asks for TLS: set tls_certificate and tls_key")
        if self.has_tls and self.is_insecure:
            raise ValueError("there is TLS, and insecure says that there is none: set one of them")
        if self.has_tls and not (self.credentials or self.tls_client_ca):
            raise ValueError(
                "nobody could call: set credentials, or tls_client_ca for client certificates"
            )
        return self

    @model_validator(mode="after")
    def _keep_insecure_here(self) -> Config:
        if self.insecure_anywhere and not self.credentials:
            raise ValueError("without credentials, who reaches insecure_anywhere may do everything")
        is_here = is_loopback(self.listen.rpartition(":")[0])
        if self.insecure and not (is_here or self.insecure_anywhere):
            raise ValueError(
                f"listen is {self.listen}, which other machines reach, and there is no TLS: "
                "hashes would cross the network in clear. Set tls_certificate and tls_key, listen "
                "on 127.0.0.1 behind a proxy with TLS, or set insecure_anywhere"
            )
        return self

    @property
    def has_tls(self) -> bool:
        """Whether the server speaks TLS."""
        return self.tls_certificate is not None

    @property
    def is_insecure(self) -> bool:
        """Whether it was said that it shall not."""
        return self.insecure or self.insecure_anywhere

    @property
    def is_open(self) -> bool:
        """Whether everybody may do everything: without TLS and without credentials."""
        return not (self.has_tls or self.credentials)

    @property
    def access_rules(self) -> Rules:
        """Who may call."""
        return Rules(self.credentials, self.revoked, is_open=self.is_open)

    def require_transport(self) -> None:
        """Refuse to serve where nobody has said how.

        Raises:
            InvalidConfig: there is neither TLS nor leave to do without.
        """
        if not (self.has_tls or self.is_insecure):
            raise InvalidConfig(
                "there is no TLS: set tls_certificate and tls_key (`imageward-server certs dev` "
                "makes some), or serve on loopback without, with --insecure"
            )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` hands over: it merges the sources itself, to know each origin."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


class Loaded(NamedTuple):
    """A configuration and where each value came from, by name."""

    config: Config
    origins: dict[str, str]


def load(flags: Mapping[str, Any], file: Path | None = None) -> Loaded:
    """Merge all sources into one configuration.

    Args:
        flags: values given on the command line, by name; None where not given.
        file: a TOML file; without it, what IMAGEWARD_SERVER_CONFIG names, if anything.

    Raises:
        InvalidConfig: a value or a name cannot be used, or the file cannot be read.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Config.model_fields, "default")
    file = file or (Path(os.environ[ENV_FILE]) if os.environ.get(ENV_FILE) else None)
    for origin, found in (
        (str(file), _read_file(file)),
        ("environment", _read_environment()),
        ("flag", {name: value for name, value in flags.items() if value is not None}),
    ):
        values.update(found)
        origins.update(dict.fromkeys(found, origin))
    try:
        return Loaded(Config(**values), origins)
    except ValidationError as error:
        raise InvalidConfig(_explain(error, origins)) from error


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidConfig(f"the configuration file {file} cannot be read: {error}") from error
    # pydantic-settings would take a name such as `_env_file` as an order to itself.
    if unknown := sorted(found.keys() - Config.model_fields.keys()):
        raise InvalidConfig(f"{file} sets {unknown[0]}, which is not a setting")
    return found


def _read_environment() -> dict[str, Any]:
    unknown = [
        name
        for name in os.environ
        if name.upper().startswith(ENV_PREFIX)
        and name != ENV_FILE
        and name[len(ENV_PREFIX) :].lower() not in Config.model_fields
    ]
    if unknown:
        raise InvalidConfig(f"the environment sets {unknown[0]}, which is not a setting")
    try:
        return EnvSettingsSource(Config)()
    except SettingsError as error:
        raise InvalidConfig(f"the environment cannot be read: {error}; lists are JSON") from error


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        setting = name.partition(".")[0]
        origin = f" (from {origins[setting]})" if setting in origins else ""
        lines.append(f"{name}{origin}: {problem['msg']}" if name else problem["msg"])
    return "; ".join(lines)


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached by this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
