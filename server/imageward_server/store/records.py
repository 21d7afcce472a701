"""What goes into the store and comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Bank
from imageward_server.store.schema import EntrySource, EntryState


@dataclass(frozen=True, slots=True)
class BankRecord:
    """A bank, with what the index does not need of it."""

    bank: Bank
    active_count: int
    withdrawn_count: int
    created_us: int
    updated_us: int
    revision: int


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to be banked; without a regional part it is found as a whole only."""

    fingerprint: Fingerprint
    source: EntrySource
    reference: str = ""


@dataclass(frozen=True, slots=True)
class EntryRecord:
    """A banked entry.

    Attributes:
        hash: None once the entry is erased.
        code_count: how many regional codes are kept of it; 0: it is found as a whole only.
    """

    id: int
    state: EntryState
    source: EntrySource
    hash: PdqHash | None
    code_count: int
    reference: str
    created_us: int
    updated_us: int
    revision: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What became of a request to add entries.

    Attributes:
        entry_ids: of the entries, in the order of the request.
        revision: from which on they are visible.
        replayed: whether the request was seen before, and nothing was banked again.
    """

    entry_ids: tuple[int, ...]
    revision: int
    replayed: bool


@dataclass(frozen=True, slots=True, eq=False)
class EntryStates:
    """Which of some entries are active, for the index.

    Attributes:
        active_ids: int64, shape (n,).
        active_codes: their hashes, uint8, shape (n, 32).
        fingerprints: of those that have regional codes, as stored.
        withdrawn_ids: int64, shape (m,).
    """

    active_ids: NDArray[np.int64]
    active_codes: NDArray[np.uint8]
    fingerprints: Mapping[int, bytes]
    withdrawn_ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Changes after a revision, as the state that they led to.

    Attributes:
        revision: the last change in it.
        entries: the state of every entry that changed.
        banks: all banks, if one of them changed.
    """

    revision: int
    entries: EntryStates
    banks: tuple[Bank, ...] | None
