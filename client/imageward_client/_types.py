"""The words of the contract, and what is asked, as immutable values.

Nothing here knows messages or channels. A value that holds a hash or an image
does not print it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from imageward_client._limits import HASH_BYTES, QUALITY_MAX
from imageward_client._rebuild import refused

_DIGITS = frozenset("0123456789abcdef")


class Verdict(StrEnum):
    """What the policies of the matching banks say about an upload."""

    ALLOW = "ALLOW"
    REVIEW = "REVIEW"
    BLOCK = "BLOCK"
    INCONCLUSIVE = "INCONCLUSIVE"


class Completeness(StrEnum):
    """How much of what could find a match has looked; see the contract's words."""

    COMPLETE = "COMPLETE"
    CUT_SHORT = "CUT_SHORT"
    HASH_ONLY = "HASH_ONLY"


class Action(StrEnum):
    """What a bank wants done with an upload that matches it."""

    BLOCK = "BLOCK"
    REVIEW = "REVIEW"
    LOG = "LOG"


class EntryState(StrEnum):
    """Whether checks see an entry."""

    ACTIVE = "ACTIVE"
    WITHDRAWN = "WITHDRAWN"


class EntrySource(StrEnum):
    """What an entry was made from."""

    IMAGE = "IMAGE"
    HASH = "HASH"


class Orientation(StrEnum):
    """How a picture was turned or mirrored before it matched."""

    IDENTITY = "IDENTITY"
    ROTATE_90 = "ROTATE_90"
    ROTATE_180 = "ROTATE_180"
    ROTATE_270 = "ROTATE_270"
    FLIP_VERTICAL = "FLIP_VERTICAL"
    FLIP_HORIZONTAL = "FLIP_HORIZONTAL"
    TRANSPOSE = "TRANSPOSE"
    TRANSVERSE = "TRANSVERSE"


class Method(StrEnum):
    """How a picture was found."""

    WHOLE = "WHOLE"
    TRIMMED = "TRIMMED"
    PARTS = "PARTS"
    PARTS_MIRRORED = "PARTS_MIRRORED"


class CaseState(StrEnum):
    """What a person is told about a case; see the contract's words."""

    OPEN = "OPEN"
    IN_REVIEW = "IN_REVIEW"
    PROTECTED = "PROTECTED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    WITHDRAWN = "WITHDRAWN"


class StopAction(StrEnum):
    """What a frontend did with an upload that matched."""

    BLOCKED = "BLOCKED"
    REVIEWED = "REVIEWED"
    ALLOWED = "ALLOWED"


class ServingStatus(StrEnum):
    """What the standard health service says of a server."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"


@dataclass(frozen=True, slots=True, repr=False)
class PdqHash:
    """One PDQ hash, which is personal data: its repr leaves the bits out.

    Attributes:
        value: the 32 bytes that the 64 printed digits stand for, in their order.
        quality: how much detail the hash rests on, 0..100; None when unknown.

    Raises:
        InvalidHash: the width or the quality is out of range.
    """

    value: bytes
    quality: int | None = None

    def __post_init__(self) -> None:
        if len(self.value) != HASH_BYTES:
            raise refused(
                "INVALID_HASH",
                f"A hash has {HASH_BYTES} bytes; {len(self.value)} were given.",
                {"hash_bytes": str(len(self.value))},
            )
        if self.quality is not None and not 0 <= self.quality <= QUALITY_MAX:
            raise refused(
                "INVALID_HASH",
                f"A quality is 0..{QUALITY_MAX}; {self.quality} was given.",
                {"quality": str(self.quality)},
            )

    @classmethod
    def from_hex(cls, text: str, quality: int | None = None) -> Self:
        """Returns the hash that 64 lower-case hexadecimal digits print.

        Raises:
            InvalidHash: the text is anything else, or the quality is out of range.
        """
        if len(text) != 2 * HASH_BYTES or not _DIGITS.issuperset(text):
            raise refused(
                "INVALID_HASH",
                f"A hash is {2 * HASH_BYTES} lower-case hexadecimal digits; "
                f"{len(text)} characters were given.",
                {"hash_characters": str(len(text))},
            )
        return cls(bytes.fromhex(text), quality)

    @property
    def hex(self) -> str:
        """The 64 lower-case hexadecimal digits."""
        return self.value.hex()

    def __repr__(self) -> str:
        return f"PdqHash(<256 bits>, quality={self.quality})"


HashLike = PdqHash | bytes | str


@dataclass(frozen=True, slots=True)
class Scope:
    """Which banks a check asks, and how fresh the answer must be.

    Attributes:
        surface: where the upload would appear; empty for every bank.
        banks: names of the banks to ask, at most 64; empty for all.
        minimum_revision: the lowest revision that may answer; 0 for any.
    """

    surface: str = ""
    banks: tuple[str, ...] = ()
    minimum_revision: int = 0


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """A question of a stream about an image.

    Attributes:
        image: the upload as it came, at most 20,000,000 bytes.
        scope: what this one question asks; None for the stream's own scope.
    """

    image: bytes = field(repr=False)
    scope: Scope | None = None


@dataclass(frozen=True, slots=True)
class HashQuery:
    """A question of a stream about one hash, checked exactly as it is given.

    Attributes:
        hash: 64 lower-case digits, 32 bytes or a `PdqHash`.
        scope: what this one question asks; None for the stream's own scope.
    """

    hash: HashLike = field(repr=False)
    scope: Scope | None = None
