"""What OPERATIONS.md tells a safety team is what the intake has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from imageward.v1 import case_pb2
from imageward_server.intake import limits
from imageward_server.intake.keys import MASTER_KEY_VARIABLE
from imageward_server.intake.settings import IntakeSettings

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "OPERATIONS.md").read_text()
INTAKE = OPERATIONS.partition("## Intake")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", IntakeSettings.model_fields)
def test_every_setting_is_in_operations(name: str) -> None:
    """Each has its row, with its default."""
    row = re.search(rf"^\| .*`{name}`.*$", INTAKE, re.MULTILINE)
    assert row, name
    default = IntakeSettings.model_fields[name].default
    if isinstance(default, int | float | str) and default:
        assert (f"{default:g}" if isinstance(default, float) else str(default)) in row[0]


def test_every_call_is_in_the_architecture() -> None:
    """Each is named where the service is explained."""
    architecture = (ROOT / "ARCHITECTURE.md").read_text()
    calls = [method.name for method in case_pb2.DESCRIPTOR.services_by_name["CaseService"].methods]
    assert [call for call in calls if call not in architecture] == []


def test_the_promises_are_those_of_the_code() -> None:
    """Hours, days and bounds in the text are the constants."""
    assert MASTER_KEY_VARIABLE in INTAKE
    assert f"{limits.REQUEST_BYTES_MAX:,} bytes" in INTAKE
    assert f"| {limits.CASE_PICTURES_MAX}, {limits.REQUEST_PICTURES_MAX} |" in INTAKE
    assert limits.KEPT_S_MAX == 7 * limits.DAY_S
    assert limits.RETENTION_S == 6 * limits.DAY_S + 23 * limits.HOUR_S
    assert limits.ALARM_HOURS == (24, 36, 44)
    assert limits.REMOVAL_TARGET_S == 48 * limits.HOUR_S
    assert limits.MAIL_RETRY_S == (60, 300, 900, 3600)
    assert (limits.FAILURES_MAX, limits.LOCK_S) == (5, 15 * 60)
