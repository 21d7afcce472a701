"""What the documents claim is what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from click import Command

from imageward.v1 import bank_pb2, match_pb2
from imageward.v1.error_pb2 import ErrorReason
from imageward_server import cli as server_cli
from imageward_server.access import Role
from imageward_server.access.roles import TABLE
from imageward_server.config import ENV_FILE, ENV_PREFIX, Config

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "OPERATIONS.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
README = (ROOT / "README.md").read_text()
SERVE: Command = typer.main.get_command(server_cli.app).commands["serve"]  # type: ignore[attr-defined]


def test_the_readme_stays_short() -> None:
    """It has under 150 lines."""
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize("name", Config.model_fields)
def test_every_setting_is_in_operations(name: str) -> None:
    """Each has its row, with its default."""
    row = re.search(rf"^\| `{name}` \|.*$", OPERATIONS, re.MULTILINE)
    assert row, name
    default = Config.model_fields[name].default
    if isinstance(default, int | float) and not isinstance(default, bool):
        assert f" {default:g} " in row[0] or f" {default} " in row[0]


def test_every_setting_has_a_flag_and_every_flag_is_in_operations() -> None:
    """But for who may call, which is written down; and `--take-over` is no state."""
    flags = {option.name: option.opts[0] for option in SERVE.params}
    assert flags.keys() - {"config_file", "take_over", "help"} == (
        Config.model_fields.keys() - {"credentials", "revoked"}
    )
    assert [flag for flag in flags.values() if flag not in OPERATIONS] == []


def test_the_environment_is_in_operations() -> None:
    """Its prefix and the variable that names the file."""
    assert f"`{ENV_PREFIX}`" in OPERATIONS
    assert f"`{ENV_FILE}`" in OPERATIONS


def test_every_reason_is_in_operations() -> None:
    """Whoever meets an error finds its row."""
    names = [name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name]
    assert [name for name in names if f"`{name}`" not in OPERATIONS] == ["UNSPECIFIED"]


def test_every_call_is_in_the_architecture() -> None:
    """Each is named where the services are explained."""
    calls = [
        method.name
        for file in (match_pb2, bank_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert [call for call in calls if call not in ARCHITECTURE] == []


def test_the_table_of_roles_is_the_server_s() -> None:
    """Who may call what, method by method."""
    section = OPERATIONS.partition("### Roles")[2].partition("\n### ")[0]
    header, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("|")
    )
    roles = [None if name == "anybody" else Role(name) for name in header[1:]]
    written = {
        (methods.partition(".")[0], method): {
            role for role, cell in zip(roles, cells, strict=True) if cell
        }
        for methods, *cells in rows
        for method in re.findall(r"`(\w+)`", methods)
    }
    assert written == {
        (service.rpartition(".")[2], method): row - {Role.DEVELOPER}
        for path, row in TABLE.items()
        for service, method in [path[1:].split("/")]
    }


@pytest.mark.parametrize(
    ("module", "limit", "written"),
    [
        ("imageward_index.decode", "IMAGE_BYTES_MAX", "20,000,000 bytes"),
        ("imageward_index.decode", "IMAGE_PIXELS_MAX", "100,000,000 pixels"),
        ("imageward_index.decode", "IMAGE_SIDE_MAX", "16,384 pixels a side"),
        ("imageward_index.headers", "JPEG_SCANS_MAX", "| 64 | `UNDECODABLE_IMAGE` |"),
        ("imageward_index.index", "RADIUS_BITS_MAX", "0..63 bits"),
        ("imageward_index.matcher", "MATCHES_MAX", "| 100 | none: the nearest"),
        ("imageward_index.entry_id", "BANK_NUMBER_MAX", "65,535"),
        ("imageward_index.pdq", "QUALITY_MIN", "50 or more"),
        ("imageward_server.calls.transport", "MESSAGE_BYTES_MAX", "36,000,000 bytes"),
        ("imageward_server.calls.transport", "METADATA_BYTES_MAX", "8 KiB"),
        ("imageward_server.calls.transport", "STREAMS_PER_CONNECTION_MAX", "| 48 | gRPC makes"),
        ("imageward_server.calls.transport", "HANDSHAKE_S_MAX", "| 5 s each | closed |"),
        ("imageward_server.calls.transport", "PENDING_CALLS_MAX", "| 256 | above, some"),
        ("imageward_server.admission.gate", "WAITING_MIN", "| 8, or as many"),
        ("imageward_server.admission.admission", "WATCHES_MAX", "| 256, one caller"),
        ("imageward_server.config", "CREDENTIALS_MAX", "| 10,000 each"),
        ("imageward_server.admission.rates", "CALLERS_REMEMBERED_MAX", "| 10,000 | none"),
        ("imageward_server.calls.kinds", "CHECK_HASHES_MAX", "more\n  than 128 hashes"),
        ("imageward_server.services.new_entry", "REQUEST_BYTES_MAX", "32,000,000 bytes"),
        ("imageward_server.services.validate", "BATCH_MAX", "| 1,024 |"),
        ("imageward_server.services.validate", "BANKS_PER_CHECK_MAX", "| 64 | `INVALID_REQUEST`"),
        ("imageward_server.services.validate", "PAGE_SIZE_MAX", "| 1,000 |"),
        ("imageward_server.services.validate", "NAME_CHARS_MAX", "64 characters"),
        ("imageward_server.services.validate", "REFERENCE_CHARS_MAX", "128 characters"),
        ("imageward_server.store.store", "REQUEST_MEMORY_S", "7 days"),
    ],
)
def test_every_limit_in_operations_is_the_code_s(module: str, limit: str, written: str) -> None:
    """The number in the table is the number in the constant."""
    import importlib

    value = getattr(importlib.import_module(module), limit)
    number = {"8 KiB": "8192", "7 days": str(7 * 24 * 3600)}.get(
        written, "".join(re.findall(r"\d+", written.rsplit("..", maxsplit=1)[-1].replace(",", "")))
    )
    assert written in OPERATIONS
    assert number == str(value)
