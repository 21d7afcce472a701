"""Banks in a real store."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from imageward_index.entry_id import BANK_NUMBER_MAX
from imageward_index.errors import BankNotFound, InvalidRadius
from imageward_index.policy import Action, Policy
from imageward_server.errors import BankExists, TooManyBanks
from imageward_server.store import Store
from imageward_server.store.engine import writing
from imageward_server.store.schema import bank as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Clock

POLICY = Policy(Action.REVIEW, 12, frozenset({"MESSENGER", "FACEBOOK"}), enabled=False)


@pytest.mark.parametrize(
    "policy", [Policy(), POLICY, Policy(Action.LOG, 0), Policy(radius_bits=63)]
)
def test_a_bank_comes_back_as_it_was_made(store: Store, clock: Clock, policy: Policy) -> None:
    """Every field of a policy survives, and a new bank is empty."""
    made = store.create_bank("known", policy)
    assert made == store.get_bank("known")
    assert (1, "known", policy) == (made.bank.number, made.bank.name, made.bank.policy)
    assert (made.active_count, made.withdrawn_count, made.revision) == (0, 0, 1)
    now_us = int(clock.now_s * 1_000_000)
    assert (now_us, now_us) == (made.created_us, made.updated_us)


def test_a_bank_outlives_its_process(open_store: Callable[[], Store]) -> None:
    """A second opening of the same file has the bank."""
    made = open_store().create_bank("known", POLICY)
    assert [made] == open_store().all_banks()


def test_a_name_is_taken_once(store: Store) -> None:
    """A second bank of a name is refused and changes nothing; another case is another name."""
    store.create_bank("known", POLICY)
    with pytest.raises(BankExists):
        store.create_bank("known", Policy())
    assert (store.get_bank("known").bank.policy, store.revision()) == (POLICY, 1)
    assert store.create_bank("Known", Policy()).bank.number == 2


def test_an_update_changes_the_policy_and_nothing_else(store: Store, clock: Clock) -> None:
    """Number, name, counts and birth stay; the policy, its time and the revision move."""
    made = store.create_bank("known", POLICY)
    clock.now_s += 60
    updated = store.update_bank("known", lambda policy: dataclasses.replace(policy, enabled=True))
    expected = dataclasses.replace(
        made,
        bank=dataclasses.replace(made.bank, policy=dataclasses.replace(POLICY, enabled=True)),
        updated_us=made.created_us + 60_000_000,
        revision=2,
    )
    assert expected == updated == store.get_bank("known")


def test_a_refused_update_changes_nothing(store: Store) -> None:
    """A policy that cannot be leaves the old one and the revision."""
    store.create_bank("known", POLICY)
    with pytest.raises(InvalidRadius):
        store.update_bank("known", lambda policy: dataclasses.replace(policy, radius_bits=64))
    assert (store.get_bank("known").bank.policy, store.revision()) == (POLICY, 1)


def test_an_unknown_bank_is_neither_read_nor_updated(store: Store) -> None:
    """A name of no bank is refused, and the revision stays."""
    with pytest.raises(BankNotFound):
        store.get_bank("known")
    with pytest.raises(BankNotFound):
        store.update_bank("known", lambda policy: policy)
    assert store.revision() == 0


def test_pages_of_banks_join_to_all_of_them(store: Store) -> None:
    """Walking pages by the last name shows each bank once, by name."""
    names = [f"bank-{number}" for number in (3, 1, 2, 5, 4)]
    for name in names:
        store.create_bank(name, Policy())
    walked: list[str] = []
    while page := store.list_banks(walked[-1] if walked else "", 2):
        assert len(page) <= 2
        walked += [record.bank.name for record in page]
    assert sorted(names) == walked
    assert walked == [record.bank.name for record in store.all_banks()]


def test_there_are_as_many_banks_as_ids_can_tell_apart(store: Store) -> None:
    """After bank 65,535 no other is made."""
    store.create_bank("first", Policy())
    with writing(store._engine) as connection:
        connection.execute(table.update().values(number=BANK_NUMBER_MAX - 1))
    assert store.create_bank("last", Policy()).bank.number == BANK_NUMBER_MAX
    with pytest.raises(TooManyBanks) as refusal:
        store.create_bank("one more", Policy())
    assert refusal.value.metadata == {"banks_max": "65535"}
    with writing(store._engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 2
