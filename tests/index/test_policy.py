"""Policies: which banks a check asks, and within which radius."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from imageward_index.entry_id import BANK_NUMBER_MAX
from imageward_index.errors import BankNotFound, InvalidRadius
from imageward_index.policy import Action, Bank, BankSet, Policy, Selection

BANKS = BankSet(
    [
        Bank(1, "everywhere", Policy(Action.BLOCK, 31)),
        Bank(2, "messenger", Policy(Action.REVIEW, 20, frozenset({"MESSENGER"}))),
        Bank(3, "photos", Policy(Action.LOG, 63, frozenset({"FACEBOOK", "INSTAGRAM"}))),
        Bank(4, "off", Policy(Action.BLOCK, 10, enabled=False)),
        Bank(BANK_NUMBER_MAX, "last", Policy(Action.LOG, 0, frozenset({"MESSENGER"}))),
    ]
)


def asked(selection: Selection) -> dict[int, int]:
    """Read the banks that are asked, each with its radius."""
    return {
        number: int(radius_bits)
        for number, radius_bits in enumerate(selection.radius_of)
        if radius_bits >= 0
    }


def test_a_policy_blocks_within_31_bits_everywhere_by_default() -> None:
    """The field's radius, every surface, enabled: what a bank without wishes gets."""
    policy = Policy()
    assert (Action.BLOCK, 31, frozenset(), True) == (
        policy.action,
        policy.radius_bits,
        policy.surfaces,
        policy.enabled,
    )


@pytest.mark.parametrize("radius_bits", [0, 63])
def test_a_radius_at_its_bounds_is_taken(radius_bits: int) -> None:
    """0 and 63 bits are radii of a policy and of a reviewer's search."""
    assert radius_bits == Policy(radius_bits=radius_bits).radius_bits
    assert radius_bits == Selection.of(BANKS, radius_bits).radius_bits_max


@pytest.mark.parametrize("radius_bits", [-(2**31), -5, -1, 64, 128, 256, 2**31 - 1])
def test_a_radius_beyond_its_bounds_is_refused(radius_bits: int) -> None:
    """No radius outside 0..63 gets in, by a policy or a reviewer's search, on any banks."""
    with pytest.raises(InvalidRadius) as refusal:
        Policy(radius_bits=radius_bits)
    expected = {"radius_bits": str(radius_bits), "radius_bits_max": "63"}
    assert expected == refusal.value.metadata
    for banks in (BANKS, BankSet()):
        with pytest.raises(InvalidRadius):
            Selection.of(banks, radius_bits)


@pytest.mark.parametrize(
    ("surface", "numbers"),
    [
        ("", {1, 2, 3, BANK_NUMBER_MAX}),
        ("MESSENGER", {1, 2, BANK_NUMBER_MAX}),
        ("FACEBOOK", {1, 3}),
        ("INSTAGRAM", {1, 3}),
        ("ELSEWHERE", {1}),
    ],
)
def test_a_surface_chooses_its_banks(surface: str, numbers: set[int]) -> None:
    """Banks without surfaces are asked everywhere, the others on theirs, a disabled one never."""
    assert numbers == set(asked(BANKS.select(surface, ())))


def test_each_bank_is_asked_within_its_own_radius() -> None:
    """A selection holds every asked bank's radius and action, and the widest of the radii."""
    selection = BANKS.select("MESSENGER", ())
    assert asked(selection) == {1: 31, 2: 20, BANK_NUMBER_MAX: 0}
    actions = {number: policy.action for number, policy in selection.policy_of.items()}
    assert actions == {1: Action.BLOCK, 2: Action.REVIEW, BANK_NUMBER_MAX: Action.LOG}
    assert selection.radius_bits_max == 31


def test_names_narrow_a_check() -> None:
    """Only the named banks are asked, and of them only those for the surface."""
    assert asked(BANKS.select("", ("photos", "messenger", "photos"))) == {2: 20, 3: 63}
    assert asked(BANKS.select("FACEBOOK", ("photos", "messenger"))) == {3: 63}


@pytest.mark.parametrize("names", [("off",), ("photos", "off")])
def test_naming_a_disabled_bank_does_not_enable_it(names: tuple[str, ...]) -> None:
    """A disabled bank is not asked by name either."""
    assert 4 not in asked(BANKS.select("", names))


def test_no_bank_to_ask_is_said() -> None:
    """A selection of no bank has the radius -1, which no distance is within."""
    assert BankSet().select("", ()).radius_bits_max == -1
    assert BANKS.select("FACEBOOK", ("messenger",)).radius_bits_max == -1


def test_an_unknown_name_refuses_the_check() -> None:
    """A typo must not turn into ALLOW: the whole check is refused, again and again."""
    for _ in range(2):
        with pytest.raises(BankNotFound, match="no bank is named 'Photos'"):
            BANKS.select("", ("photos", "Photos"))


def test_a_long_unknown_name_is_cut_in_the_message() -> None:
    """What a caller sends as a name cannot blow the answer up; its size is told."""
    with pytest.raises(BankNotFound) as refusal:
        BANKS.named("x" * 1_000_000)
    assert refusal.value.metadata == {"chars": "1000000"}
    assert len(str(refusal.value)) < 150


def test_a_reviewer_asks_disabled_banks_too() -> None:
    """With a radius of its own, a selection asks every bank it is given within that."""
    assert asked(Selection.of(BANKS, 12)) == {1: 12, 2: 12, 3: 12, 4: 12, BANK_NUMBER_MAX: 12}


def test_a_selection_is_made_once() -> None:
    """The same scope is answered with the same selection, as frontends repeat few scopes."""
    assert BANKS.select("FACEBOOK", ()) is BANKS.select("FACEBOOK", ())
    assert BANKS.select("FACEBOOK", ()) is not BANKS.select("MESSENGER", ())


def test_two_sets_of_banks_share_no_selection() -> None:
    """A changed policy is seen by the next check: the memory belongs to one set of banks."""
    wider = BankSet([Bank(1, "everywhere", Policy(Action.BLOCK, 40))])
    assert asked(BANKS.select("", ("everywhere",))) == {1: 31}
    assert asked(wider.select("", ("everywhere",))) == {1: 40}


def test_banks_are_found_by_name_and_number() -> None:
    """A set of banks knows its own, and how many they are."""
    assert BANKS.named("photos").number == 3
    assert BANKS.numbered(3).name == "photos"
    assert 5 == len(BANKS) == len(list(BANKS))


def test_a_policy_cannot_be_changed_in_place() -> None:
    """A policy is a value: what a check has read stays as it was."""
    with pytest.raises(FrozenInstanceError):
        BANKS.named("photos").policy.radius_bits = 1  # type: ignore[misc]
