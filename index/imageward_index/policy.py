"""What a bank is, what its policy says, and which banks a check asks."""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imageward_index.entry_id import BANK_NUMBER_MAX
from imageward_index.errors import BankNotFound, InvalidRadius
from imageward_index.index import RADIUS_BITS_MAX

RADIUS_BITS_DEFAULT = 31
# Selections that a set of banks remembers: frontends repeat a few scopes for ever.
SELECTIONS_CACHED = 256
# A name longer than a bank's can be is cut in a message: it came from a caller.
NAME_CHARS_SHOWN = 64
_NOT_ASKED = -1


class Action(enum.Enum):
    """What a bank wants done with an upload that matches it, the strongest first."""

    BLOCK = "BLOCK"
    REVIEW = "REVIEW"
    LOG = "LOG"


class Verdict(enum.Enum):
    """What the policies of all matching banks say about an upload."""

    ALLOW = "ALLOW"
    REVIEW = "REVIEW"
    BLOCK = "BLOCK"
    # Too little detail to be told apart, and nothing matched.
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a bank is matched and what a match means.

    Attributes:
        action: what a match means.
        radius_bits: largest Hamming distance that is a match, inclusive, 0..63.
        surfaces: where the bank applies; empty: everywhere.
        enabled: whether checks ask the bank.
        coverage_min: least coverage, 0..1, of a match that was found by parts. What `geometry`
            itself asks for holds beside it, so 0 is that alone.
        review_doubtful: whether a person should look where parts are found but not enough
            to be certain.

    Raises:
        InvalidRadius: the radius is outside 0..63.
    """

    action: Action = Action.BLOCK
    radius_bits: int = RADIUS_BITS_DEFAULT
    surfaces: frozenset[str] = field(default_factory=frozenset)
    enabled: bool = True
    coverage_min: float = 0.0
    review_doubtful: bool = False

    def __post_init__(self) -> None:
        _check_radius(self.radius_bits)

    def applies_to(self, surface: str) -> bool:
        """Say whether a check for this surface asks the bank; no surface asks every bank."""
        return self.enabled and (not surface or not self.surfaces or surface in self.surfaces)


@dataclass(frozen=True, slots=True)
class Bank:
    """A named set of entries: its number, 1..65535, its name and its policy."""

    number: int
    name: str
    policy: Policy


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The banks that one check asks.

    Attributes:
        radius_bits_max: the widest radius among them; -1 when none is asked.
        radius_of: int8, by bank number, the radius in bits or -1 where not asked.
        policy_of: the policy by bank number.
    """

    radius_bits_max: int
    radius_of: NDArray[np.int8]
    policy_of: dict[int, Policy]

    @property
    def asks_any(self) -> bool:
        """Whether there is a bank to ask."""
        return bool(self.policy_of)

    @property
    def strongest_action(self) -> Action:
        """The strongest action that a match can mean here; LOG where no bank is asked."""
        wanted = {policy.action for policy in self.policy_of.values()}
        return next((action for action in Action if action in wanted), Action.LOG)

    @classmethod
    def of(cls, banks: Iterable[Bank], radius_bits: int | None = None) -> Selection:
        """Ask these banks, each within its own radius or all within the given one.

        Raises:
            InvalidRadius: the given radius is outside 0..63.
        """
        if radius_bits is not None:
            _check_radius(radius_bits)
        radius_of = np.full(BANK_NUMBER_MAX + 1, _NOT_ASKED, dtype=np.int8)
        policy_of = {}
        for bank in banks:
            radius_of[bank.number] = bank.policy.radius_bits if radius_bits is None else radius_bits
            policy_of[bank.number] = bank.policy
        return cls(int(radius_of.max()), radius_of, policy_of)


class BankSet:
    """All banks at one revision. Immutable, so that a check sees one state of them."""

    def __init__(self, banks: Iterable[Bank] = ()) -> None:
        self._by_name = {bank.name: bank for bank in banks}
        self._by_number = {bank.number: bank for bank in self._by_name.values()}
        self.select = functools.lru_cache(maxsize=SELECTIONS_CACHED)(self._select)

    def __iter__(self) -> Iterator[Bank]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def named(self, name: str) -> Bank:
        """Return the bank of this name.

        Raises:
            BankNotFound: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise unknown_bank(name) from None

    def numbered(self, number: int) -> Bank:
        """Return the bank of this number, which must exist."""
        return self._by_number[number]

    def _select(self, surface: str, names: tuple[str, ...]) -> Selection:
        """Choose the banks a check asks: the named or all, enabled, for this surface.

        Raises:
            BankNotFound: a name is of no bank: a typo must not turn into ALLOW.
        """
        asked = [self.named(name) for name in names] if names else list(self)
        return Selection.of(bank for bank in asked if bank.policy.applies_to(surface))


def _check_radius(radius_bits: int) -> None:
    if not 0 <= radius_bits <= RADIUS_BITS_MAX:
        raise InvalidRadius(
            f"a radius of {radius_bits} bits was given; use 0..{RADIUS_BITS_MAX}",
            radius_bits=radius_bits,
            radius_bits_max=RADIUS_BITS_MAX,
        )


def unknown_bank(name: str) -> BankNotFound:
    """Make the error about a name that is of no bank."""
    return BankNotFound(
        f"no bank is named {name[:NAME_CHARS_SHOWN]!r}; list the banks there are",
        chars=len(name),
    )
