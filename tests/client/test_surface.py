"""What the package shows: its names, their documentation, its weight."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import imageward_client
from imageward.v1 import bank_pb2, case_pb2, match_pb2
from imageward_client import _rpc, errors

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType

NAMES = [
    "Action",
    "AddAnswer",
    "AddResult",
    "AlreadyExists",
    "AsyncClient",
    "Bank",
    "BankExists",
    "BankNotFound",
    "BankStats",
    "Cancelled",
    "Case",
    "CaseNotFound",
    "CasePicture",
    "CaseState",
    "ChangeAnswer",
    "CheckAnswer",
    "CheckResult",
    "Client",
    "Completeness",
    "DataCorrupt",
    "DataLoss",
    "DeadlineExceeded",
    "Draining",
    "Entry",
    "EntryNotFound",
    "EntrySource",
    "EntryState",
    "FailedPrecondition",
    "FindAnswer",
    "HashLike",
    "HashQuery",
    "HashesAnswer",
    "ImageQuery",
    "ImageTooCostly",
    "ImageTooLarge",
    "ImagewardClientError",
    "IntakeNotConfigured",
    "InternalError",
    "InvalidBatch",
    "InvalidHash",
    "InvalidImage",
    "InvalidPageToken",
    "InvalidRadius",
    "InvalidRequest",
    "LinkAnswer",
    "Loading",
    "LowQuality",
    "Match",
    "Method",
    "NotFound",
    "OpenAnswer",
    "Orientation",
    "Overloaded",
    "PdqHash",
    "PermissionDenied",
    "Point",
    "RateLimited",
    "RequestIdReused",
    "RequestTooLarge",
    "RetryPolicy",
    "RevisionNotReached",
    "Scope",
    "ServingStatus",
    "Stats",
    "StopAction",
    "StopCount",
    "StoreIncompatible",
    "StoreUnavailable",
    "StreamAnswer",
    "Tls",
    "TooManyBanks",
    "TooManyCostlyImages",
    "TooManyStreams",
    "UnacceptablePicture",
    "Unauthenticated",
    "Unavailable",
    "UndecodableImage",
    "Unimplemented",
    "UnknownMethod",
    "UnknownSurface",
    "UnreadableAnswer",
    "UnsupportedFormat",
    "Verdict",
]
HEAVY = ("typer", "rich", "pydantic", "numpy", "cv2", "faiss", "sqlalchemy")
CLIENTS = (imageward_client.Client, imageward_client.AsyncClient)


def test_all_is_pinned() -> None:
    """The public names are these and no others."""
    assert sorted(NAMES) == sorted(imageward_client.__all__)
    assert all(hasattr(imageward_client, name) for name in NAMES)


def test_import_is_light() -> None:
    """Importing the library loads neither the command's nor the server's packages."""
    code = f"import imageward_client, sys; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_error_tree_is_drawn() -> None:
    """The tree in the docstring of errors holds every class below the one it grows from."""
    drawn = _drawn_tree(errors.__doc__ or "")
    actual = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and kind is not errors.ImagewardClientError
    }
    assert drawn == actual


@pytest.mark.parametrize("name", [name for name in NAMES if name != "HashLike"])
def test_public_things_are_documented_and_annotated(name: str) -> None:
    """Every public class and method has a docstring and annotates all it takes and gives."""
    thing = getattr(imageward_client, name)
    assert thing.__doc__
    for method in _public_methods(thing):
        signature = inspect.signature(method)
        unannotated = [
            parameter.name
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
        ]
        assert unannotated == []
        assert signature.return_annotation is not signature.empty
        assert method.__doc__


def test_both_clients_have_the_same_calls() -> None:
    """Each call is in both clients with the same arguments and defaults."""
    blocking, awaited = (
        {method.__name__: _arguments(method) for method in _public_methods(client)}
        for client in CLIENTS
    )
    assert blocking == awaited


def test_every_rpc_is_a_method() -> None:
    """Each RPC of the contract is in the table of calls and a method under its snake-case name."""
    services = [*match_pb2.DESCRIPTOR.services_by_name.values()]
    services += bank_pb2.DESCRIPTOR.services_by_name.values()
    services += case_pb2.DESCRIPTOR.services_by_name.values()
    contract = [(s.full_name, m.name, m.output_type.name) for s in services for m in s.methods]
    table = [(rpc.service, rpc.method, rpc.response.DESCRIPTOR.name) for rpc in _rpc.RPCS]
    assert contract == table
    for _, method, _ in contract:
        assert hasattr(imageward_client.Client, re.sub(r"(?<!^)([A-Z])", r"_\1", method).lower())


@pytest.mark.parametrize(
    "value",
    [
        imageward_client.PdqHash(b"\xab" * 32, 80),
        imageward_client.HashQuery("ab" * 32),
        imageward_client.HashQuery(b"\xab" * 32),
        imageward_client.ImageQuery(b"\xab" * 32),
    ],
)
def test_repr_hides_hashes_and_images(value: object) -> None:
    """The repr of what holds a hash or an image shows none of its bits."""
    assert "abab" not in repr(value)
    assert "xab" not in repr(value)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (imageward_client.PdqHash.from_hex, "AB" * 32),
        (imageward_client.PdqHash.from_hex, "ab" * 31),
        (imageward_client.PdqHash.from_hex, "zz" * 32),
        (imageward_client.PdqHash.from_hex, ""),
        (imageward_client.PdqHash, b"x" * 31),
        (imageward_client.PdqHash, b"x" * 33),
    ],
)
def test_hash_refuses_other_forms(make: Callable[..., object], value: str | bytes) -> None:
    """What is not 64 lower-case digits or 32 bytes is no hash; the message does not repeat it."""
    with pytest.raises(imageward_client.InvalidHash) as caught:
        make(value)
    assert (caught.value.code, caught.value.reason) == ("INVALID_ARGUMENT", "INVALID_HASH")
    assert "abab" not in str(caught.value).lower()


@pytest.mark.parametrize("quality", [-1, 101])
def test_hash_refuses_quality_out_of_range(quality: int) -> None:
    """A quality is 0..100."""
    with pytest.raises(imageward_client.InvalidHash, match=r"0\.\.100"):
        imageward_client.PdqHash(bytes(32), quality)


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts_max": 0},
        {"attempts_max": 6},
        {"backoff_first_s": 0},
        {"backoff_max_s": 0.01},
        {"backoff_multiplier": 0.5},
        {"budget_tokens": 0},
        {"budget_tokens": 1_001},
        {"budget_refill": 0},
    ],
)
def test_retry_policy_validates_itself(wrong: dict[str, float]) -> None:
    """A value out of its range is named with its range."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        imageward_client.RetryPolicy(**wrong)


@pytest.mark.parametrize("client", CLIENTS)
def test_timeout_must_be_above_zero(client: type[imageward_client.Client]) -> None:
    """A client without time for an answer is refused."""
    with pytest.raises(ValueError, match="above 0"):
        client(timeout_s=0)


def _public_methods(thing: type) -> list[FunctionType]:
    # Enums and tuples bring methods of their own, which are Python's to document.
    members = inspect.getmembers(thing, inspect.isfunction)
    return [m for n, m in members if not n.startswith("_") and m.__module__.startswith("imageward")]


def _arguments(method: FunctionType) -> list[tuple[str, object, object]]:
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(method).parameters.values()
    ]


def _drawn_tree(text: str) -> dict[str, str]:
    """Returns each drawn class with the one it hangs from."""
    parents: dict[str, str] = {}
    stack = [(-1, "ImagewardClientError")]
    for line in text.splitlines():
        found = re.match(r"^(.*[├└]── )(\w+)", line)
        if not found:
            continue
        depth = len(found[1])
        while stack[-1][0] >= depth:
            stack.pop()
        parents[found[2]] = stack[-1][1]
        stack.append((depth, found[2]))
    return parents
