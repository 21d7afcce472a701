"""What OPERATIONS.md tells of the audit is what the code writes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import imageward_server
from imageward_server.audit.row import REASON_CHARS_MAX
from imageward_server.intake.review import RejectReason
from imageward_server.key_file import AUDIT_KEY_VARIABLE
from imageward_server.services.actor import REASON_KEY
from imageward_server.store.ledger import CHECKPOINT_ROWS, CHECKPOINT_S
from imageward_server.store.store import _STATE_ACTIONS

PACKAGE = Path(imageward_server.__file__).parent
OPERATIONS = (Path(__file__).parents[3] / "OPERATIONS.md").read_text()
AUDIT = OPERATIONS.partition("## Audit")[2].partition("\n## ")[0]
# Calls that write a row, and where among their arguments the action is.
WRITERS = {"audit": 1, "record": 2, "_audit_entry": 3, "_audit": 2, "Deed": 1}


def actions() -> Iterator[str]:
    """Yield every action that is written out where a row is written."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            at = WRITERS.get(name, len(node.args))
            for part in ast.walk(node.args[at]) if at < len(node.args) else ():
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value


@pytest.mark.parametrize("action", sorted({*actions(), *_STATE_ACTIONS.values()}))
def test_every_action_is_explained(action: str) -> None:
    """Whoever reads the audit finds each there."""
    assert action.strip().removesuffix(" h") in AUDIT


def test_the_actions_were_found() -> None:
    """The search sees calls of each writer."""
    assert {"create bank", "view", "bank", "begin", "restore", "back up"} <= set(actions())


def test_the_figures_are_the_code_s() -> None:
    """The reason's length and metadata, the checkpoint's rows and minutes, the key's variable."""
    assert f"at most {REASON_CHARS_MAX} printable" in AUDIT
    assert f"`{REASON_KEY}`" in AUDIT
    assert f"`{AUDIT_KEY_VARIABLE}`" in AUDIT
    assert (CHECKPOINT_ROWS, CHECKPOINT_S) == (1_000, 600)
    assert "every thousandth row" in AUDIT
    assert "within eleven minutes" in AUDIT


def test_the_longest_action_fits_its_column() -> None:
    """A reason to reject is part of the action."""
    assert max(len(f"reject {reason.value}") for reason in RejectReason) <= 32
