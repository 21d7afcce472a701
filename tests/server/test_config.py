"""The configuration: four sources in order, each value with its origin, bad ones named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from imageward_server.config import ENV_FILE, ENV_PREFIX, Config, InvalidConfig, load

SetEnvironment = Callable[..., None]
WriteFile = Callable[[str], Path]


@pytest.fixture(autouse=True)
def set_environment(monkeypatch: pytest.MonkeyPatch) -> SetEnvironment:
    """Return a way to set the environment, which starts without any of our variables."""
    for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)

    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(ENV_PREFIX + name.upper(), value)

    return set_variables


@pytest.fixture
def write_file(tmp_path: Path) -> WriteFile:
    """Return a way to write a configuration file."""

    def write(text: str) -> Path:
        path = tmp_path / "server.toml"
        path.write_text(text)
        return path

    return write


def test_without_any_source_all_is_default() -> None:
    """Every setting has a default, and says that it is one."""
    loaded = load({"listen": None})
    assert loaded.config == Config()
    assert loaded.origins == dict.fromkeys(Config.model_fields, "default")


def test_the_defaults_are_safe() -> None:
    """Nothing but this machine reaches a server that was not told otherwise."""
    config = Config()
    assert (config.listen, config.is_insecure) == ("127.0.0.1:50051", False)
    with pytest.raises(InvalidConfig, match="there is no TLS"):
        config.require_transport()


@pytest.mark.parametrize(
    ("in_flag", "in_environment", "in_file", "streams_max", "origin"),
    [
        (True, True, True, 1, "flag"),
        (True, False, False, 1, "flag"),
        (False, True, True, 2, "environment"),
        (False, True, False, 2, "environment"),
        (False, False, True, 3, "file"),
        (False, False, False, 64, "default"),
    ],
)
def test_the_nearest_source_wins(
    write_file: WriteFile,
    set_environment: SetEnvironment,
    *,
    in_flag: bool,
    in_environment: bool,
    in_file: bool,
    streams_max: int,
    origin: str,
) -> None:
    """Flag before environment before file before default; the others keep their own origin."""
    file = write_file("grace_s = 2.5" + ("\nstreams_max = 3" if in_file else ""))
    if in_environment:
        set_environment(streams_max="2", log_level="error")
    loaded = load({"streams_max": 1 if in_flag else None, "listen": None}, file)
    assert loaded.config.streams_max == streams_max
    expected = str(file) if origin == "file" else origin
    assert loaded.origins["streams_max"] == expected
    assert (loaded.config.grace_s, loaded.origins["grace_s"]) == (2.5, str(file))
    assert loaded.origins["log_level"] == ("environment" if in_environment else "default")
    assert loaded.origins["listen"] == "default"


def test_the_environment_can_name_the_file(
    write_file: WriteFile, set_environment: SetEnvironment, tmp_path: Path
) -> None:
    """IMAGEWARD_SERVER_CONFIG names a file, unless a flag names another; it is no setting."""
    assert ENV_FILE == "IMAGEWARD_SERVER_CONFIG"
    set_environment(config=str(write_file("streams_max = 3")))
    assert load({}).config.streams_max == 3
    other = tmp_path / "other.toml"
    other.write_text("streams_max = 4")
    assert load({}, other).config.streams_max == 4
    set_environment(config="")
    assert load({}).config.streams_max == 64


def test_every_setting_can_be_set_from_every_source(
    write_file: WriteFile, set_environment: SetEnvironment, tmp_path: Path
) -> None:
    """File and environment take the whole configuration, flags too, all to the same value."""
    values = {
        "data_dir": str(tmp_path),
        "audit_key_file": str(tmp_path / "audit.key"),
        "intake_config": str(tmp_path / "intake.toml"),
        "store_url": "postgresql+psycopg://db/imageward",
        "listen": "[::1]:0",
        "tls_certificate": "server.pem",
        "tls_key": "server.key",
        "tls_client_ca": "ca.pem",
        "insecure": False,
        "insecure_anywhere": False,
        "credentials": {"feed": {"role": "frontend", "methods": ["CheckImage"]}},
        "revoked": ["gone", "ab" * 32],
        "surfaces": ["SURFACE_2", "ONE"],
        "call_threads": 3,
        "compute_threads": 2,
        "cage_cells": 5,
        "cage_slow_cells": 6,
        "streams_max": 7,
        "held_bytes_max": 80_000_000,
        "caller_calls_per_s": 12.5,
        "deadline_s": 3.5,
        "connections_max": 9,
        "connection_age_s": 60.0,
        "connection_idle_s": 61.0,
        "connection_grace_s": 62.0,
        "workers": 2,
        "pin_workers": False,
        "feed_poll_s": 0.5,
        "seal_codes": 5000,
        "store_key_file": str(tmp_path / "store.key"),
        "key_dir": str(tmp_path / "keys"),
        "erase_after_h": 24.5,
        "erase_every_s": 30.5,
        "notice_s": 1.5,
        "grace_s": 2.5,
        "health_listen": "127.0.0.1:50052",
        "metrics_listen": "127.0.0.1:9464",
        "traces_endpoint": "http://127.0.0.1:4317",
        "traces_share": 0.25,
        "log_format": "json",
        "log_level": "debug",
    }
    assert values.keys() == Config.model_fields.keys()
    expected = Config(**values)
    assert load(values).config == expected
    file = write_file("\n".join(f"{name} = {_toml(value)}" for name, value in values.items()))
    assert load({}, file).config == expected
    set_environment(**{n: v if isinstance(v, str) else json.dumps(v) for n, v in values.items()})
    assert load({}).config == expected
    assert set(load({}).origins.values()) == {"environment"}


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("name", ["lisen", "config", "_env_file", "_cli_parse_args", "Listen"])
def test_an_unknown_key_of_a_file_is_refused(write_file: WriteFile, name: str) -> None:
    """A typo in the file, or a word that a library would obey, stops the start and is named."""
    file = write_file(f"{name} = 'x'")
    with pytest.raises(InvalidConfig) as refusal:
        load({}, file)
    assert name in str(refusal.value)
    assert str(file) in str(refusal.value)


@pytest.mark.parametrize("name", ["IMAGEWARD_SERVER_LISEN", "imageward_server_lisen"])
def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A typo in the environment stops the start and is named; others' variables do not matter."""
    monkeypatch.setenv("IMAGEWARD_OTHER", "x")
    load({})
    monkeypatch.setenv(name, "x")
    with pytest.raises(InvalidConfig, match=f"the environment sets {name}"):
        load({})


def test_an_unknown_flag_is_refused() -> None:
    """A flag that is no setting is a mistake, and is named."""
    with pytest.raises(InvalidConfig, match=r"lisen \(from flag\)"):
        load({"lisen": "x"})


BAD_VALUES: list[tuple[str, object]] = [
    ("listen", "50051"),
    ("listen", "127.0.0.1"),
    ("listen", "127.0.0.1:"),
    ("listen", "127.0.0.1:http"),
    ("listen", "127.0.0.1:65536"),
    ("listen", "127.0.0.1:123456"),
    ("listen", ":50051\n"),
    ("store_url", "store.sqlite3"),
    ("surfaces", []),
    ("surfaces", ["facebook"]),
    ("surfaces", ["FACE BOOK"]),
    ("surfaces", [""]),
    ("surfaces", [7]),
    ("call_threads", 0),
    ("call_threads", 1025),
    ("call_threads", "many"),
    ("compute_threads", 0),
    ("compute_threads", 1025),
    ("streams_max", 0),
    ("streams_max", 4097),
    ("streams_max", 1.5),
    ("held_bytes_max", 71_999_999),
    ("caller_calls_per_s", -1),
    ("deadline_s", 0),
    ("deadline_s", 3601),
    ("connections_max", 0),
    ("connection_age_s", 0.5),
    ("connection_age_s", 86_401),
    ("feed_poll_s", 0),
    ("feed_poll_s", 60.1),
    ("notice_s", -0.1),
    ("notice_s", 600.1),
    ("grace_s", -0.1),
    ("grace_s", 601),
    ("log_format", "yaml"),
    ("log_level", "INFO"),
    ("insecure", "perhaps"),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_is_named_with_its_origin(
    write_file: WriteFile, set_environment: SetEnvironment, name: str, value: object
) -> None:
    """Whichever source a bad value comes from, the message names the setting and that source."""
    file = write_file(f"{name} = {json.dumps(value)}")
    with pytest.raises(InvalidConfig) as refusal:
        load({}, file)
    assert name in str(refusal.value)
    assert str(file) in str(refusal.value)
    with pytest.raises(InvalidConfig) as refusal:
        load({name: value}, None)
    assert name in str(refusal.value)
    assert "flag" in str(refusal.value)
    set_environment(**{name: value if isinstance(value, str) else json.dumps(value)})
    with pytest.raises(InvalidConfig) as refusal:
        load({})
    assert name in str(refusal.value)
    assert "environment" in str(refusal.value)


@pytest.mark.parametrize(
    "credential",
    [
        {},
        {"role": "developer"},
        {"role": "king"},
        {"role": "frontend", "secret_hash": "plain"},
        {"role": "frontend", "secret_hash": "sha256$AAAA"},
        {"role": "frontend", "methods": ["CheckEverything"]},
        {"role": "frontend", "calls_per_s": -1},
        {"role": "frontend", "secret": "plain"},
    ],
)
def test_a_bad_credential_is_refused(credential: dict[str, object]) -> None:
    """Unknown keys and roles, and what is no hash; the message does not repeat a secret."""
    with pytest.raises(InvalidConfig, match=r"credentials\.feed\.\w+ \(from flag\)") as refusal:
        load({"credentials": {"feed": credential}})
    assert "plain" not in str(refusal.value)


@pytest.mark.parametrize("name", ["", "Feed", "9feed", "a.b", "a" * 64])
def test_a_credential_s_name_is_bounded(name: str) -> None:
    """It fits into tokens and certificates."""
    with pytest.raises(InvalidConfig, match="credentials"):
        load({"credentials": {name: {"role": "frontend"}}})


def test_every_bad_value_is_named_at_once() -> None:
    """Two mistakes need one start, not two."""
    with pytest.raises(InvalidConfig) as refusal:
        load({"streams_max": 0, "log_level": "loud"})
    assert "streams_max" in str(refusal.value)
    assert "log_level" in str(refusal.value)


@pytest.mark.parametrize("value", ["FACEBOOK,MESSENGER", "[", "FACEBOOK"])
def test_a_list_in_the_environment_is_json(set_environment: SetEnvironment, value: str) -> None:
    """A list written otherwise is refused with a hint, not with a traceback."""
    set_environment(surfaces=value)
    with pytest.raises(InvalidConfig, match=r"surfaces.*JSON"):
        load({})


@pytest.mark.parametrize("contents", [b"listen = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, contents: bytes) -> None:
    """A file of no TOML, of no text, or none at all is a configuration that cannot be used."""
    file = tmp_path / "server.toml"
    with pytest.raises(InvalidConfig, match=r"server\.toml cannot be read"):
        load({}, file)
    file.write_bytes(contents)
    with pytest.raises(InvalidConfig, match=r"server\.toml cannot be read"):
        load({}, file)


@pytest.mark.parametrize(
    "listen",
    [
        "0.0.0.0:1",
        "[::]:1",
        "10.0.0.1:1",
        "example.org:1",
        "localhost.example.org:1",
        "unix:1",
        "[::ffff:10.0.0.1]:1",
        "127.0.0.1.example.org:1",
    ],
)
def test_plaintext_stays_on_this_machine(listen: str) -> None:
    """An address that others reach is refused without TLS, unless that is said to be meant."""
    with pytest.raises(InvalidConfig, match="there is no TLS"):
        load({"listen": listen, "insecure": True})
    with pytest.raises(InvalidConfig, match="may do everything"):
        load({"listen": listen, "insecure_anywhere": True})
    given = {"insecure_anywhere": True, "credentials": {"feed": {"role": "frontend"}}}
    assert load({"listen": listen, **given}).config.listen == listen


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.9.9.9:65535", "[::1]:1", "localhost:1"])
def test_the_loopback_needs_no_leave(listen: str) -> None:
    """Every address of this machine alone may be listened on."""
    assert load({"listen": listen}).config.listen == listen


def test_every_setting_says_what_it_is() -> None:
    """Each setting has a description that ends as a sentence does."""
    missing = [
        name
        for name, field in Config.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert missing == []


def test_a_configuration_does_not_change() -> None:
    """What the server was started with stays what it was."""
    with pytest.raises(ValidationError):
        Config().listen = "127.0.0.1:1"


def test_only_load_reads_the_environment(set_environment: SetEnvironment) -> None:
    """A configuration made from values is made from these alone."""
    set_environment(streams_max="2")
    assert Config().streams_max == 64
