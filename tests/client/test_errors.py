"""A status or a refusal becomes the one right exception."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from imageward.v1 import error_pb2
from imageward_client import RetryPolicy, _rebuild, errors

if TYPE_CHECKING:
    from tests.client.conftest import Ask, Peer

REASONS = [
    value.name.removeprefix("ERROR_REASON_") for value in error_pb2.ErrorReason.DESCRIPTOR.values
]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
# For these the status code decides.
WITHOUT_CLASS = {"UNSPECIFIED", "REFUSED"}


@pytest.mark.parametrize("number", error_pb2.ErrorReason.values())
def test_every_reason_has_a_class(number: int) -> None:
    """Each reason of the contract is in the table, or is one of two that have no class."""
    name = _rebuild.reason_name(number)
    assert (name not in WITHOUT_CLASS) == (name in _rebuild.BY_REASON)


def test_table_has_no_reason_of_its_own() -> None:
    """The table knows no reason that the contract does not."""
    assert set(_rebuild.BY_REASON) == set(REASONS) - WITHOUT_CLASS


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_a_class(code: grpc.StatusCode) -> None:
    """Each status other than OK has a class."""
    assert issubclass(_rebuild.BY_CODE[code], errors.ImagewardClientError)


@pytest.mark.parametrize("reason", sorted(_rebuild.BY_REASON))
def test_reason_has_the_status_of_the_contract(reason: str) -> None:
    """The status beside each reason is the one that its comment in error.proto names."""
    comment = _comment(reason)
    code, _ = _rebuild.BY_REASON[reason]
    assert code.name in comment


@pytest.mark.parametrize("reason", sorted(_rebuild.BY_REASON))
def test_reason_travels(peer: Peer, ask: Ask, reason: str) -> None:
    """A status with a reason raises that reason's class with all that came along."""
    code, kind = _rebuild.BY_REASON[reason]
    details = {"reason": reason, "metadata": {"bound": "5"}, "retry_after_s": 1.5}
    peer.script.fail("CreateBank", code, **details)
    with pytest.raises(errors.ImagewardClientError) as caught:
        ask(peer.target, "create_bank", "B", options={"retry": RetryPolicy(attempts_max=1)})
    assert kind is type(caught.value)
    assert (code.name, "It failed.") == (caught.value.code, str(caught.value))
    assert details == {name: getattr(caught.value, name) for name in details}


@pytest.mark.parametrize("code", CODES)
def test_code_without_details_travels(peer: Peer, ask: Ask, code: grpc.StatusCode) -> None:
    """A status without details, as from a proxy, raises its code's class."""
    peer.script.fail("CreateBank", code)
    with pytest.raises(errors.ImagewardClientError) as caught:
        ask(peer.target, "create_bank", "B")
    assert _rebuild.BY_CODE[code] is type(caught.value)
    assert (code.name, "") == (caught.value.code, caught.value.reason)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("foreign", [{"domain": "elsewhere"}, {"reason": "NEWER_THAN_THIS"}])
def test_reason_of_another_world_leaves_the_code(
    peer: Peer, ask: Ask, foreign: dict[str, str]
) -> None:
    """A reason of another domain, or of a newer server, does not choose the class."""
    details = {"reason": "BANK_NOT_FOUND", **foreign}
    peer.script.fail("CreateBank", grpc.StatusCode.PERMISSION_DENIED, **details)
    with pytest.raises(errors.ImagewardClientError) as caught:
        ask(peer.target, "create_bank", "B")
    assert errors.PermissionDenied is type(caught.value)


def test_garbled_details_leave_the_code(peer: Peer, ask: Ask) -> None:
    """Details that are no message do not hide the status."""
    peer.script.fail("CreateBank", grpc.StatusCode.NOT_FOUND, garbled=True)
    with pytest.raises(errors.ImagewardClientError) as caught:
        ask(peer.target, "create_bank", "B")
    assert errors.NotFound is type(caught.value)


def test_unknown_refusal_is_still_an_error() -> None:
    """A refusal with a reason that is newer than this client is of the root class."""
    refusal = error_pb2.Refusal(reason=9_999, message="It failed.")  # type: ignore[arg-type]
    error = _rebuild.from_refusal(refusal)
    assert errors.ImagewardClientError is type(error)
    assert (error.reason, error.message) == ("9999", "It failed.")


def test_error_survives_pickling() -> None:
    """An error can be handed to another process whole."""
    error = _rebuild.refused("BANK_NOT_FOUND", "No bank has this name.", {"bank": "B"})
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - made on the line itself
    assert type(error) is type(copy)
    assert (vars(error), str(error)) == (vars(copy), str(copy))


def _comment(reason: str) -> str:
    """Returns the comment above a reason in the contract."""
    proto = Path(__file__).parents[2] / "protos/imageward/v1/error.proto"
    found = re.search(rf"((?:  //.*\n)+)  ERROR_REASON_{reason} =", proto.read_text())
    assert found is not None
    return found[1]
