"""Entries in a real store: added once, withdrawn and restored whole."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from imageward_index.entry_id import SERIAL_MAX, bank_number_of, make_entry_id
from imageward_index.errors import BankNotFound
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import PdqHash
from imageward_index.policy import Policy
from imageward_server.errors import EntryNotFound, RequestIdReused
from imageward_server.store import EntryRecord, EntrySource, EntryState, NewEntry, Store
from imageward_server.store.store import REQUEST_MEMORY_S

if TYPE_CHECKING:
    from conftest import Clock, MakeEntries

ACTIVE, WITHDRAWN = EntryState.ACTIVE, EntryState.WITHDRAWN


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    """Return a store with two empty banks."""
    store = open_store()
    store.create_bank("one", Policy())
    store.create_bank("two", Policy())
    return store


def every_entry(store: Store) -> list[EntryRecord]:
    """Read all entries by id."""
    return store.list_entries(bank_number=None, state=None, after_id=0, limit=10_000)


def counts(store: Store) -> dict[str, tuple[int, int]]:
    """Read each bank's count of active and of withdrawn entries."""
    return {r.bank.name: (r.active_count, r.withdrawn_count) for r in store.all_banks()}


def whole(store: Store) -> tuple[object, ...]:
    """Read everything that a refused change must leave alone."""
    return store.revision(), store.all_banks(), every_entry(store)


def test_entries_come_back_as_they_were_added(
    store: Store, clock: Clock, make_entries: MakeEntries
) -> None:
    """Every field survives, ids are in the request's order, and the revision is told."""
    new = [
        *make_entries(3),
        NewEntry(Fingerprint(PdqHash(bytes(32), None)), EntrySource.IMAGE, "ünïcode 🗂"),
    ]
    addition = store.add_entries("two", "request 1", new)
    assert (addition.revision, addition.replayed) == (3, False)
    assert [make_entry_id(2, serial) for serial in (1, 2, 3, 4)] == list(addition.entry_ids)
    now_us = int(clock.now_s * 1_000_000)
    expected = [
        EntryRecord(
            entry_id,
            ACTIVE,
            one.source,
            one.fingerprint.whole,
            len(one.fingerprint.codes),
            one.reference,
            now_us,
            now_us,
            3,
        )
        for entry_id, one in zip(addition.entry_ids, new, strict=True)
    ]
    assert expected == every_entry(store)
    assert [one.fingerprint for one in new] == [
        store.get_fingerprint(entry_id) for entry_id in addition.entry_ids
    ]
    assert expected[1] == store.get_entry(addition.entry_ids[1])
    assert counts(store) == {"one": (0, 0), "two": (4, 0)}


def test_a_request_that_comes_again_banks_nothing(store: Store, make_entries: MakeEntries) -> None:
    """The same id with the same contents is answered as the first time, whatever came since."""
    first = store.add_entries("one", "request 1", make_entries(3))
    store.add_entries("one", "request 2", make_entries(2, seed=2))
    store.set_state(first.entry_ids, WITHDRAWN)
    before = whole(store)
    again = store.add_entries("one", "request 1", make_entries(3))
    assert dataclasses.replace(first, replayed=True) == again
    assert before == whole(store)


def other_contents(new: list[NewEntry]) -> dict[str, tuple[str, list[NewEntry]]]:
    """Change a request in each way that makes its contents others."""
    first, rest = new[0], new[1:]
    turned = bytes([first.fingerprint.whole.code[0] ^ 1]) + first.fingerprint.whole.code[1:]
    return {
        "bank": ("two", new),
        "order": ("one", new[::-1]),
        "fewer": ("one", rest),
        "none": ("one", []),
        "more": ("one", [*new, first]),
        "code": (
            "one",
            [dataclasses.replace(first, fingerprint=Fingerprint(PdqHash(turned, 50))), *rest],
        ),
        "quality": (
            "one",
            [
                dataclasses.replace(
                    first, fingerprint=Fingerprint(PdqHash(first.fingerprint.whole.code, 51))
                ),
                *rest,
            ],
        ),
        "no quality": (
            "one",
            [
                dataclasses.replace(
                    first, fingerprint=Fingerprint(PdqHash(first.fingerprint.whole.code, None))
                ),
                *rest,
            ],
        ),
        "source": ("one", [dataclasses.replace(first, source=EntrySource.IMAGE), *rest]),
        "reference": ("one", [dataclasses.replace(first, reference="other"), *rest]),
    }


@pytest.mark.parametrize(
    "what",
    [
        "bank",
        "order",
        "fewer",
        "none",
        "more",
        "code",
        "quality",
        "no quality",
        "source",
        "reference",
    ],
)
def test_a_request_id_is_for_one_contents(
    store: Store, make_entries: MakeEntries, what: str
) -> None:
    """The same id with anything else in the request is refused and changes nothing."""
    store.add_entries("one", "request 1", make_entries(3))
    before = whole(store)
    bank, new = other_contents(make_entries(3))[what]
    with pytest.raises(RequestIdReused):
        store.add_entries(bank, "request 1", new)
    assert before == whole(store)


def test_a_request_without_entries_is_remembered_too(
    store: Store, make_entries: MakeEntries
) -> None:
    """A request whose every picture was refused banks nothing, once, and replays."""
    first = store.add_entries("one", "request 1", [])
    assert (first.entry_ids, first.revision, first.replayed) == ((), 2, False)
    assert store.add_entries("one", "request 1", []).replayed
    with pytest.raises(RequestIdReused):
        store.add_entries("one", "request 1", make_entries(1))


def test_one_request_from_many_callers_banks_once(
    open_store: Callable[[], Store], store: Store, make_entries: MakeEntries
) -> None:
    """Eight threads over two stores send the same request at once: one banks, all get its ids."""
    stores, start = [store, open_store()], threading.Barrier(8)

    def add(number: int) -> tuple[tuple[int, ...], bool]:
        start.wait(20)
        addition = stores[number % 2].add_entries("one", "request 1", make_entries(5))
        return addition.entry_ids, addition.replayed

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(add, range(8)))
    ids = tuple(make_entry_id(1, serial) for serial in range(1, 6))
    assert [(ids, False)] + [(ids, True)] * 7 == sorted(answers, key=lambda answer: answer[1])
    assert list(ids) == [record.id for record in every_entry(store)]


def test_a_repeated_hash_is_a_second_entry(store: Store, make_entries: MakeEntries) -> None:
    """The same hash in one batch, in another and in another bank is an entry each time."""
    (new,) = make_entries(1)
    ids = [
        *store.add_entries("one", "request 1", [new, new]).entry_ids,
        *store.add_entries("one", "request 2", [new]).entry_ids,
        *store.add_entries("two", "request 3", [new]).entry_ids,
    ]
    assert len(set(ids)) == 4
    assert [new.fingerprint.whole] * 4 == [record.hash for record in every_entry(store)]


def test_an_unknown_bank_does_not_use_a_request_id_up(
    store: Store, make_entries: MakeEntries
) -> None:
    """A request to a bank that is not there can be sent again once it is."""
    before = whole(store)
    with pytest.raises(BankNotFound):
        store.add_entries("three", "request 1", make_entries(1))
    assert before == whole(store)
    store.create_bank("three", Policy())
    assert not store.add_entries("three", "request 1", make_entries(1)).replayed


def test_withdrawing_and_restoring_are_idempotent(
    store: Store, clock: Clock, make_entries: MakeEntries
) -> None:
    """A second time changes nothing and says so; counts and times follow what changed."""
    ids = store.add_entries("one", "request 1", make_entries(4)).entry_ids
    clock.now_s += 60
    assert store.set_state(ids[:2], WITHDRAWN) == (4, 2)
    before = whole(store)
    assert store.set_state(ids[:2], WITHDRAWN) == (4, 0)
    assert store.set_state(ids[2:], ACTIVE) == (4, 0)
    assert store.set_state([], WITHDRAWN) == (4, 0)
    assert before == whole(store)
    assert counts(store) == {"one": (2, 2), "two": (0, 0)}
    record = store.get_entry(ids[0])
    assert (record.state, record.updated_us - record.created_us) == (WITHDRAWN, 60_000_000)
    assert store.set_state(ids, ACTIVE) == (5, 2)
    assert counts(store) == {"one": (4, 0), "two": (0, 0)}
    assert [record.state for record in every_entry(store)] == [ACTIVE] * 4


def test_entries_of_several_banks_are_withdrawn_at_once(
    store: Store, make_entries: MakeEntries
) -> None:
    """Ids with gaps, repeats and of two banks change together, each counted once."""
    one = store.add_entries("one", "request 1", make_entries(5)).entry_ids
    two = store.add_entries("two", "request 2", make_entries(5)).entry_ids
    _, changed = store.set_state([two[4], one[0], one[2], one[3], one[0], two[0]], WITHDRAWN)
    assert changed == 5
    withdrawn = [record.id for record in every_entry(store) if record.state == WITHDRAWN]
    assert [one[0], one[2], one[3], two[0], two[4]] == withdrawn
    assert counts(store) == {"one": (2, 3), "two": (3, 2)}


@pytest.mark.parametrize("state", [ACTIVE, WITHDRAWN])
def test_one_unknown_id_refuses_the_whole_change(
    store: Store, make_entries: MakeEntries, state: EntryState
) -> None:
    """All entries change or none: an unknown id among known ones leaves all as they were."""
    ids = store.add_entries("one", "request 1", make_entries(3)).entry_ids
    store.set_state(ids[:1], WITHDRAWN)
    before = whole(store)
    with pytest.raises(EntryNotFound) as refusal:
        store.set_state([*ids, ids[-1] + 1, make_entry_id(9, 9)], state)
    assert refusal.value.metadata == {"unknown": "2"}
    assert before == whole(store)


@pytest.mark.parametrize("entry_id", [0, 1, make_entry_id(1, 2), make_entry_id(2, 1)])
def test_an_unknown_entry_is_not_found(
    store: Store, make_entries: MakeEntries, entry_id: int
) -> None:
    """An id of no entry, even one near a known one, has nothing to show."""
    store.add_entries("one", "request 1", make_entries(1))
    with pytest.raises(EntryNotFound):
        store.get_entry(entry_id)


def test_serials_are_never_used_again(
    open_store: Callable[[], Store], store: Store, make_entries: MakeEntries
) -> None:
    """Over banks, withdrawals, refusals and restarts, every serial is new and higher."""
    ids = list(store.add_entries("one", "request 1", make_entries(2)).entry_ids)
    store.set_state(ids, WITHDRAWN)
    with pytest.raises(RequestIdReused):
        store.add_entries("two", "request 1", make_entries(1))
    ids += store.add_entries("two", "request 2", make_entries(2)).entry_ids
    ids += open_store().add_entries("one", "request 3", make_entries(1)).entry_ids
    assert [entry_id & SERIAL_MAX for entry_id in ids] == [1, 2, 3, 4, 5]
    assert [bank_number_of(entry_id) for entry_id in ids] == [1, 1, 2, 2, 1]


@pytest.mark.parametrize("bank_number", [None, 1, 2, 3])
@pytest.mark.parametrize("state", [None, ACTIVE, WITHDRAWN])
def test_pages_of_entries_join_to_all_that_were_asked_for(
    store: Store, make_entries: MakeEntries, bank_number: int | None, state: EntryState | None
) -> None:
    """Walking pages by the last id shows each entry of the bank and state once, by id."""
    for number, bank in enumerate(("one", "two", "one")):
        ids = store.add_entries(bank, f"request {number}", make_entries(3, number)).entry_ids
        store.set_state(ids[:2], WITHDRAWN)
    walked: list[EntryRecord] = []
    while page := store.list_entries(
        bank_number=bank_number, state=state, after_id=walked[-1].id if walked else 0, limit=2
    ):
        walked += page
    expected = [
        record
        for record in every_entry(store)
        if bank_number in (None, bank_number_of(record.id)) and state in (None, record.state)
    ]
    assert expected == walked


def test_a_request_id_is_remembered_for_seven_days(
    open_store: Callable[[], Store], store: Store, clock: Clock, make_entries: MakeEntries
) -> None:
    """To the last microsecond a repeat is a replay, over restarts; after that it is new."""
    assert REQUEST_MEMORY_S == 7 * 24 * 3600
    first = store.add_entries("one", "request 1", make_entries(2))
    clock.now_s += REQUEST_MEMORY_S
    assert store.add_entries("one", "request 1", make_entries(2)).replayed
    assert open_store().add_entries("one", "request 1", make_entries(2)).replayed
    clock.now_s += 0.001
    later = store.add_entries("one", "request 1", make_entries(2))
    assert not later.replayed
    assert not set(first.entry_ids) & set(later.entry_ids)


def test_opening_a_store_forgets_old_requests(
    open_store: Callable[[], Store], store: Store, clock: Clock, make_entries: MakeEntries
) -> None:
    """What a stopped server remembered too long is dropped when it starts, entries are not."""
    store.add_entries("one", "request 1", make_entries(2))
    clock.now_s += REQUEST_MEMORY_S + 1
    reopened = open_store()
    clock.now_s -= REQUEST_MEMORY_S + 1
    assert not reopened.add_entries("one", "request 1", make_entries(2)).replayed
    assert len(every_entry(reopened)) == 4
