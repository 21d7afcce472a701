"""What the audit says: who did what, to which entries or case, when and why; and its chain.

A row's digest covers the digest before it, so no row can be edited, left out or moved
without changing all digests after it. Anyone can compute digests; what proves them is
keyed, and stands in `keys`. No row holds a hash, an image, an address or a secret.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

REASON_CHARS_MAX: Final = 256
ACTOR_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as what, and why if they said so.

    Attributes:
        name: of an identity or an account.
        role: what it may do; empty where nobody has asked.
        reason: in the actor's words.
    """

    name: str
    role: str
    reason: str = ""


# What the server does by itself.
SERVER: Final = Actor("imageward", "server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row, as it is digested: the order of the fields is part of the format.

    Attributes:
        number: 1, 2, 3 and so on, without a gap.
        at_us: microseconds since 1970 UTC.
        action: what was done, in a word or two.
        bank: its name, where one is named.
        entries: runs of entry ids, as `ledger.write_runs` writes them.
        entry_count: how many ids that is.
        revision: of the store, once it was done.
    """

    number: int
    at_us: int
    actor: str
    role: str
    action: str
    bank: str
    entries: str
    entry_count: int
    case_number: str
    picture_id: str
    reason: str
    revision: int


@dataclass(frozen=True, slots=True)
class SealedRow:
    """A row with what binds it to its place.

    Attributes:
        digest: 32 bytes; None in a row from before the chain began.
        mac: 32 bytes; None likewise.
    """

    row: Row
    digest: bytes | None
    mac: bytes | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed word on how far the chain was at a time.

    Attributes:
        number: of the last row that it covers.
        at_us: microseconds since 1970 UTC.
        previous: the number of the checkpoint before it, or 0.
        digest: of the last row, 32 bytes.
        signature: Ed25519, 64 bytes.
    """

    number: int
    at_us: int
    previous: int
    digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Where the chain ends: the one row that every writer holds while it appends.

    Attributes:
        chain_id: a random name; no row of one chain fits another.
        first: the first row whose MAC is under the present key.
        number: of the last row; 0 before the first.
        digest: of the last row, 32 bytes; empty until the chain is begun.
        checkpoint: the number of the last checkpoint, or 0.
        checkpoint_us: when that was.
        mac: over all of this, 32 bytes; None until the chain is begun.
    """

    chain_id: str
    first: int
    number: int
    digest: bytes
    checkpoint: int
    checkpoint_us: int
    mac: bytes | None


def digest_before_the_first(chain_id: str) -> bytes:
    """Return what the first row's digest covers in the place of a row before it."""
    return hashlib.sha256(f"imageward audit {chain_id}".encode()).digest()


def digest_of(previous: bytes, row: Row) -> bytes:
    """Digest a row and the 32 bytes before it, with SHA-256."""
    written = json.dumps(list(values_of(row).values()))
    return hashlib.sha256(previous + written.encode()).digest()


def values_of(record: Row | Checkpoint | ChainHead) -> dict[str, Any]:
    """Return the fields of a record by their names, in their order.

    `dataclasses.asdict` copies each value deeply, which takes longer than its digest.
    """
    return {name: getattr(record, name) for name in record.__dataclass_fields__}
