"""One function a call about banks and their entries.

Each says what is sent and how its answer is read. Both clients are made of
these, so that they cannot drift apart.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypedDict, Unpack

from imageward.v1 import bank_pb2
from imageward_client import _convert as convert
from imageward_client import _rpc
from imageward_client._answers import AddAnswer, Bank, ChangeAnswer, Entry, FindAnswer, Stats
from imageward_client._call import Call, Page, bounded, expect_batch_bytes, expect_count
from imageward_client._rebuild import refused
from imageward_client._types import Action, HashLike

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageward_client._types import EntryState

PAGE_SIZE = 1_000


class PolicyFields(TypedDict):
    """What may be said of a bank's policy; None says nothing."""

    action: Action | str | None
    radius_bits: int | None
    surfaces: Sequence[str] | None
    enabled: bool | None
    coverage_min: float | None
    review_doubtful: bool | None


def create_bank(
    name: str, **policy: Unpack[PolicyFields]
) -> Call[bank_pb2.CreateBankResponse, Bank]:
    """Returns the call that makes an empty bank."""
    return Call(
        _rpc.CREATE_BANK,
        bank_pb2.CreateBankRequest(name=name, policy=_policy(policy)),
        _read_bank,
    )


def get_bank(name: str) -> Call[bank_pb2.GetBankResponse, Bank]:
    """Returns the call that fetches one bank."""
    return Call(_rpc.GET_BANK, bank_pb2.GetBankRequest(name=name), _read_bank)


def list_banks(page_token: str) -> Call[bank_pb2.ListBanksResponse, Page[Bank]]:
    """Returns the call that fetches a page of banks."""
    return Call(
        _rpc.LIST_BANKS,
        bank_pb2.ListBanksRequest(page_size=PAGE_SIZE, page_token=page_token),
        lambda page: Page(tuple(map(convert.bank, page.banks)), page.next_page_token),
    )


def update_bank(
    name: str, **policy: Unpack[PolicyFields]
) -> Call[bank_pb2.UpdateBankResponse, Bank]:
    """Returns the call that changes what is given, and nothing else.

    Raises:
        InvalidRequest: nothing is given. An empty mask could be read as all of it.
    """
    paths = [field for field, value in policy.items() if value is not None]
    if not paths:
        raise refused(
            "INVALID_REQUEST", f"Nothing to change; give at least one of {', '.join(policy)}."
        )
    request = bank_pb2.UpdateBankRequest(name=name, policy=_policy(policy))
    request.update_mask.paths.extend(paths)
    return Call(_rpc.UPDATE_BANK, request, _read_bank)


def add_entries(
    bank: str,
    images: Sequence[bytes] | None,
    hashes: Sequence[HashLike] | None,
    fingerprints: Sequence[bytes] | None,
    references: Sequence[str],
    request_id: str | None,
) -> Call[bank_pb2.AddEntriesResponse, AddAnswer]:
    """Returns the call that banks a batch, with a request id that retries repeat.

    Raises:
        TypeError: not exactly one of images, hashes and fingerprints is given.
        InvalidBatch: the batch is over its bytes, or has other than one
            reference an entry.
        ImageTooLarge: an image is over its bytes.
        InvalidHash: a hash is none.
    """
    request = bank_pb2.AddEntriesRequest(
        bank=bank,
        request_id=request_id or uuid.uuid4().hex,
        entries=_with_references(_contents(images, hashes, fingerprints), references),
    )

    def read(response: bank_pb2.AddEntriesResponse) -> AddAnswer:
        expect_count(len(request.entries), len(response.results))
        return AddAnswer(
            tuple(map(convert.add_result, response.results)), response.revision, response.replayed
        )

    return Call(_rpc.ADD_ENTRIES, request, read)


def withdraw_entries(
    entry_ids: Sequence[str],
) -> Call[bank_pb2.WithdrawEntriesResponse, ChangeAnswer]:
    """Returns the call that withdraws entries."""
    request = bank_pb2.WithdrawEntriesRequest(entry_ids=convert.names(entry_ids))
    return Call(_rpc.WITHDRAW_ENTRIES, request, _read_change)


def restore_entries(
    entry_ids: Sequence[str],
) -> Call[bank_pb2.RestoreEntriesResponse, ChangeAnswer]:
    """Returns the call that restores entries."""
    request = bank_pb2.RestoreEntriesRequest(entry_ids=convert.names(entry_ids))
    return Call(_rpc.RESTORE_ENTRIES, request, _read_change)


def get_entry(entry_id: str) -> Call[bank_pb2.GetEntryResponse, Entry]:
    """Returns the call that fetches one entry."""
    return Call(
        _rpc.GET_ENTRY,
        bank_pb2.GetEntryRequest(entry_id=entry_id),
        lambda response: convert.entry(response.entry),
    )


def get_fingerprint(entry_id: str) -> Call[bank_pb2.GetEntryResponse, bytes]:
    """Returns the call that fetches all hashes of one entry."""
    return Call(
        _rpc.GET_ENTRY,
        bank_pb2.GetEntryRequest(entry_id=entry_id, with_fingerprint=True),
        lambda response: response.fingerprint,
    )


def list_entries(
    bank: str, state: EntryState | None, page_token: str
) -> Call[bank_pb2.ListEntriesResponse, Page[Entry]]:
    """Returns the call that fetches a page of entries."""
    request = bank_pb2.ListEntriesRequest(bank=bank, page_size=PAGE_SIZE, page_token=page_token)
    if state is not None:
        request.state = convert.entry_state_number(state)
    return Call(
        _rpc.LIST_ENTRIES,
        request,
        lambda page: Page(tuple(map(convert.entry, page.entries)), page.next_page_token),
    )


def find_matches(
    image: bytes | None, hash_: HashLike | None, banks: Sequence[str], radius: int | None
) -> Call[bank_pb2.FindMatchesResponse, FindAnswer]:
    """Returns the call that asks a reviewer's question.

    Raises:
        TypeError: not exactly one of image and hash is given.
        ImageTooLarge: the image is over its bytes.
        InvalidHash: the hash is none.
    """
    request = bank_pb2.FindMatchesRequest(banks=convert.names(banks), radius_bits=radius)
    if image is not None and hash_ is None:
        request.image = bounded(image)
    elif hash_ is not None and image is None:
        request.hash.CopyFrom(convert.hash_message(hash_))
    else:
        raise TypeError("Give either image or hash.")
    return Call(_rpc.FIND_MATCHES, request, convert.find_answer)


def get_stats() -> Call[bank_pb2.GetStatsResponse, Stats]:
    """Returns the call that fetches counts."""
    return Call(_rpc.GET_STATS, bank_pb2.GetStatsRequest(), convert.stats)


def _policy(fields: PolicyFields) -> bank_pb2.Policy:
    policy = bank_pb2.Policy(
        radius_bits=fields["radius_bits"],
        surfaces=convert.names(fields["surfaces"] or ()),
        enabled=fields["enabled"],
        coverage_min=fields["coverage_min"],
        review_doubtful=fields["review_doubtful"],
    )
    if fields["action"] is not None:
        policy.action = convert.action_number(Action(fields["action"]))
    return policy


def _contents(
    images: Sequence[bytes] | None,
    hashes: Sequence[HashLike] | None,
    fingerprints: Sequence[bytes] | None,
) -> list[bank_pb2.NewEntry]:
    if sum(given is not None for given in (images, hashes, fingerprints)) != 1:
        raise TypeError("Give either images, hashes or fingerprints.")
    expect_batch_bytes(sum(map(len, images or fingerprints or ())))
    if images is not None:
        return [bank_pb2.NewEntry(image=bounded(image)) for image in images]
    if hashes is not None:
        return [bank_pb2.NewEntry(hash=convert.hash_message(value)) for value in hashes]
    return [bank_pb2.NewEntry(fingerprint=one) for one in fingerprints or ()]


def _with_references(
    entries: list[bank_pb2.NewEntry], references: Sequence[str]
) -> list[bank_pb2.NewEntry]:
    given = convert.names(references)
    if given and len(given) != len(entries):
        raise refused(
            "INVALID_BATCH",
            f"{len(entries)} entries have {len(given)} references; give one an entry, or none.",
        )
    for entry, reference in zip(entries, given, strict=False):
        entry.reference = reference
    return entries


def _read_bank(
    response: bank_pb2.CreateBankResponse | bank_pb2.GetBankResponse | bank_pb2.UpdateBankResponse,
) -> Bank:
    return convert.bank(response.bank)


def _read_change(
    response: bank_pb2.WithdrawEntriesResponse | bank_pb2.RestoreEntriesResponse,
) -> ChangeAnswer:
    return ChangeAnswer(response.revision, response.changed_count)
