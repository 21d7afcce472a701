"""Reads the fields of requests, and refuses what the contract does not allow.

Every bound of the contract that is not the hasher's or the index's is here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from imageward.v1.hash_pb2 import PdqHash as PdqHashMessage
from imageward_index.errors import InvalidBatch, InvalidHash
from imageward_index.pdq import HASH_BYTES, PdqHash
from imageward_server.errors import EntryNotFound, InvalidRequest, UnknownSurface

BATCH_MAX = 1024
BANKS_PER_CHECK_MAX = 64
NAME_CHARS_MAX = 64
REFERENCE_CHARS_MAX = 128
REQUEST_ID_CHARS_MAX = 64
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
QUALITY_MAX = 100

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_ENTRY_ID = re.compile(r"[0-9a-f]{16}")


def bank_name(name: str) -> str:
    """Accept a name for a bank.

    Raises:
        InvalidRequest: it is not one.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"a bank's name of {len(name)} characters is not a letter or '_' followed by "
            f"letters, digits, '_', '-' or '.', 1..{NAME_CHARS_MAX} in all",
            chars_max=NAME_CHARS_MAX,
        )
    return name


def text(field: str, value: str, *, chars_min: int = 0, chars_max: int) -> str:
    """Accept a text within its bounds, without control characters.

    Raises:
        InvalidRequest: it is shorter, longer or not printable.
    """
    if not chars_min <= len(value) <= chars_max:
        raise InvalidRequest(
            f"{field} has {len(value)} characters; send {chars_min}..{chars_max}",
            field=field,
            chars=len(value),
            chars_max=chars_max,
        )
    if not value.isprintable():
        raise InvalidRequest(f"{field} has control characters; send plain text", field=field)
    return value


def surfaces(names: Collection[str], known: Collection[str]) -> frozenset[str]:
    """Accept surfaces that the server was configured with.

    Raises:
        UnknownSurface: one is not: a typo must not keep a bank from being asked.
    """
    unknown = sorted(name[:NAME_CHARS_MAX] for name in set(names) - set(known))
    if unknown:
        raise UnknownSurface(
            f"surface {unknown[0]!r} is not known here; use one of {', '.join(sorted(known))}",
            surfaces=",".join(sorted(known)),
        )
    return frozenset(names)


def bank_names(names: Sequence[str]) -> tuple[str, ...]:
    """Accept the names of the banks that a check asks.

    Raises:
        InvalidRequest: there are more than 64.
    """
    if len(names) > BANKS_PER_CHECK_MAX:
        raise InvalidRequest(
            f"{len(names)} banks were named; name at most {BANKS_PER_CHECK_MAX}, or none for all",
            banks=len(names),
            banks_max=BANKS_PER_CHECK_MAX,
        )
    return tuple(names)


def batch(what: str, count: int) -> None:
    """Accept a batch of 1..1,024.

    Raises:
        InvalidBatch: it is empty or longer.
    """
    if not 1 <= count <= BATCH_MAX:
        raise InvalidBatch(
            f"a batch of {count} {what} was sent; send 1..{BATCH_MAX}",
            count=count,
            count_max=BATCH_MAX,
        )


def page_size(size: int) -> int:
    """Accept the size of a page; 0 is the default.

    Raises:
        InvalidRequest: it is negative or over 1,000.
    """
    if not 0 <= size <= PAGE_SIZE_MAX:
        raise InvalidRequest(
            f"a page of {size} was asked for; use 1..{PAGE_SIZE_MAX}, or 0 for {PAGE_SIZE_DEFAULT}",
            page_size_max=PAGE_SIZE_MAX,
        )
    return size or PAGE_SIZE_DEFAULT


def pdq_hash(message: PdqHashMessage) -> PdqHash:
    """Accept one hash.

    Raises:
        InvalidHash: it is not 32 bytes, or its quality is not 0..100.
    """
    return PdqHash(message.pdq, quality(message))


def quality(message: PdqHashMessage) -> int | None:
    """Accept the quality of a hash, if it has one.

    Raises:
        InvalidHash: it is not 0..100.
    """
    if not message.HasField("quality"):
        return None
    if not 0 <= message.quality <= QUALITY_MAX:
        raise InvalidHash(
            f"a quality of {message.quality} was sent; send 0..{QUALITY_MAX}, or none",
            quality=message.quality,
            quality_max=QUALITY_MAX,
        )
    return message.quality


def share(field: str, value: float) -> float:
    """Accept a share of a whole.

    Raises:
        InvalidRequest: it is not 0..1.
    """
    if not 0 <= value <= 1:
        raise InvalidRequest(f"{field} is {value}; send 0..1", field=field)
    return value


def codes(messages: Sequence[PdqHashMessage]) -> NDArray[np.uint8]:
    """Join the codes of a batch of hashes, uint8 of shape (n, 32).

    Raises:
        InvalidHash: one is not 32 bytes.
    """
    parts = [message.pdq for message in messages]
    for position, part in enumerate(parts):
        if len(part) != HASH_BYTES:
            raise InvalidHash(
                f"hash {position} of the batch has {len(part)} bytes; send {HASH_BYTES}",
                position=position,
                bytes=len(part),
                bytes_expected=HASH_BYTES,
            )
    return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(-1, HASH_BYTES)


def format_entry_id(entry_id: int) -> str:
    """Write an entry's id as callers see it: 16 hexadecimal digits, opaque to them."""
    return f"{entry_id:016x}"


def entry_id(written: str) -> int:
    """Read an entry's id.

    Raises:
        EntryNotFound: it is not written as ids are, so no entry has it.
    """
    if not _ENTRY_ID.fullmatch(written) or int(written, 16) >= 1 << 63:
        raise EntryNotFound("an entry id is not one of this server; list the entries there are")
    return int(written, 16)


def entry_ids(written: Sequence[str]) -> list[int]:
    """Read a batch of 1..1,024 ids of entries.

    Raises:
        InvalidBatch: there are none or more.
        EntryNotFound: one is not written as ids are.
    """
    batch("entry ids", len(written))
    return [entry_id(one) for one in written]
