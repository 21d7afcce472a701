"""Ten thousand ways to change an audit, each by somebody who knows all but the key."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from imageward_index.policy import Policy
from imageward_server.audit.keys import AuditKeys
from imageward_server.audit.row import (
    Actor,
    ChainHead,
    Checkpoint,
    Row,
    SealedRow,
    digest_before_the_first,
    digest_of,
)
from imageward_server.audit.store_evidence import collect
from imageward_server.audit.verify import Evidence, find_fault
from imageward_server.store import EntryState, Store
from imageward_server.store.engine import sqlite_url

if TYPE_CHECKING:
    from conftest import Clock, MakeEntries

SEED = 20261123
TAMPERINGS = 10_000
ROWS_MIN = 30


@dataclass
class Copy:
    """An audit as somebody who can write the database has it before them."""

    head: ChainHead
    rows: list[SealedRow]
    checkpoints: list[Checkpoint]
    revision: int

    def evidence(self) -> Evidence:
        """Hand it over to be judged."""
        return Evidence(self.head, self.rows, self.checkpoints, revision=self.revision)

    def again(self) -> Copy:
        """Copy it."""
        return Copy(self.head, list(self.rows), list(self.checkpoints), self.revision)


def fill(store: Store, clock: Clock, make_entries: MakeEntries, seed: int) -> Copy:
    """Write an audit of some life: changes, reads, and hours between them."""
    chance = random.Random(seed)
    actors = [Actor(name, "reviewer", "ticket 7") for name in ("ana", "ben")]
    store.create_bank("known", Policy(), actors[0])
    ids: list[int] = []
    for request in range(ROWS_MIN // 2):
        new = make_entries(chance.randrange(1, 4), seed + request)
        ids += store.add_entries("known", f"r{request}", new, chance.choice(actors)).entry_ids
        one = chance.choice(ids)
        if chance.random() < 0.5:
            store.set_state([one], EntryState.WITHDRAWN, chance.choice(actors))
        else:
            store.audit(chance.choice(actors), "get entry", entry_ids=[one])
        clock.now_s += chance.choice([1, 1, 1, 1, 1, 1, 700])
    with collect(store, []) as evidence:
        assert evidence.revision is not None
        return Copy(evidence.head, list(evidence.rows), evidence.checkpoints, evidence.revision)


@pytest.fixture
def audit(keyed: Store, clock: Clock, make_entries: MakeEntries) -> Copy:
    """Return the audit that is tampered with."""
    return fill(keyed, clock, make_entries, SEED)


@pytest.fixture
def other(
    tmp_path_factory: pytest.TempPathFactory,
    clock: Clock,
    keys: AuditKeys,
    make_entries: MakeEntries,
) -> Iterator[Copy]:
    """Return the audit of another store under the same key, to splice from."""
    store = Store(sqlite_url(tmp_path_factory.mktemp("other")), clock, keys)
    store.open()
    yield fill(store, clock, make_entries, SEED)
    store.close()


def edited(value: Any, chance: random.Random) -> Any:  # noqa: ANN401 - any field's value
    """Change a value to another of its type."""
    match value:
        case bytes():
            at = chance.randrange(len(value))
            return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
        case int():
            return value + chance.choice([-1, 1, 1 << 20])
        case _:
            return f"{value}x" if chance.random() < 0.5 or not value else value[:-1]


def digested_anew(copy: Copy) -> None:
    """Number and digest all rows again, which takes no key, and move the head along."""
    digest = digest_before_the_first(copy.head.chain_id)
    for at, sealed in enumerate(copy.rows):
        row = replace(sealed.row, number=at + 1)
        digest = digest_of(digest, row)
        copy.rows[at] = SealedRow(row, digest, sealed.mac)
    copy.head = replace(copy.head, number=len(copy.rows), digest=digest)


def edit_row(copy: Copy, chance: random.Random, _other: Copy) -> None:
    """Edit one field of one row."""
    at = chance.randrange(len(copy.rows))
    sealed = copy.rows[at]
    name = chance.choice([*Row.__dataclass_fields__, "digest", "mac"])
    if name in ("digest", "mac"):
        copy.rows[at] = replace(sealed, **{name: edited(getattr(sealed, name), chance)})
    else:
        changed = edited(getattr(sealed.row, name), chance)
        copy.rows[at] = replace(sealed, row=replace(sealed.row, **{name: changed}))


def delete_rows(copy: Copy, chance: random.Random, _other: Copy) -> None:
    """Delete a few rows anywhere."""
    at = chance.randrange(len(copy.rows))
    del copy.rows[at : at + chance.randrange(1, 4)]


def reorder_rows(copy: Copy, chance: random.Random, _other: Copy) -> None:
    """Let two rows change places, with or without their numbers."""
    one, two = chance.sample(range(len(copy.rows)), 2)
    first, second = copy.rows[one], copy.rows[two]
    if chance.random() < 0.5:
        numbers = first.row.number, second.row.number
        first = replace(first, row=replace(first.row, number=numbers[1]))
        second = replace(second, row=replace(second.row, number=numbers[0]))
    copy.rows[one], copy.rows[two] = second, first


def truncate(copy: Copy, chance: random.Random, _other: Copy) -> None:
    """Cut the end off, and put the head and the checkpoints back to where it then is."""
    del copy.rows[chance.randrange(len(copy.rows)) :]
    last = copy.rows[-1] if copy.rows else None
    if chance.random() < 0.3:
        return
    number = last.row.number if last else 0
    copy.checkpoints = [one for one in copy.checkpoints if one.number <= number]
    signed = copy.checkpoints[-1] if copy.checkpoints else None
    copy.head = replace(
        copy.head,
        number=number,
        digest=(last.digest or b"") if last else b"",
        checkpoint=signed.number if signed else 0,
        checkpoint_us=signed.at_us if signed else 0,
        mac=chance.choice([copy.head.mac, last.mac if last else None]),
    )
    if chance.random() < 0.5:
        copy.revision = last.row.revision if last else 0


def splice(copy: Copy, chance: random.Random, other: Copy) -> None:
    """Put rows of another audit, or of elsewhere in this one, in between or in the place."""
    source = chance.choice([other, copy])
    start = chance.randrange(len(source.rows))
    taken = source.rows[start : start + chance.randrange(1, 4)]
    at = chance.randrange(len(copy.rows) + 1)
    until = at + chance.choice([0, len(taken)])
    copy.rows[at:until] = taken


def change_head(copy: Copy, chance: random.Random, other: Copy) -> None:
    """Edit where the audit ends, or take another audit's."""
    name = chance.choice([*ChainHead.__dataclass_fields__])
    changed = chance.choice([edited(getattr(copy.head, name), chance), getattr(other.head, name)])
    copy.head = replace(copy.head, **{name: changed})


def change_checkpoints(copy: Copy, chance: random.Random, other: Copy) -> None:
    """Edit, delete or replace a checkpoint."""
    at = chance.randrange(len(copy.checkpoints))
    how = chance.randrange(3)
    if how == 0:
        del copy.checkpoints[at]
    elif how == 1:
        copy.checkpoints[at] = chance.choice(other.checkpoints)
    else:
        name = chance.choice([*Checkpoint.__dataclass_fields__])
        value = edited(getattr(copy.checkpoints[at], name), chance)
        copy.checkpoints[at] = replace(copy.checkpoints[at], **{name: value})


TAMPER: dict[str, Callable[[Copy, random.Random, Copy], None]] = {
    "edit": edit_row,
    "delete": delete_rows,
    "reorder": reorder_rows,
    "truncate": truncate,
    "splice": splice,
    "head": change_head,
    "checkpoint": change_checkpoints,
}


def test_ten_thousand_tamperings_are_detected(audit: Copy, other: Copy, keys: AuditKeys) -> None:
    """Each kind in turn, half of them with all digests made anew; not one passes."""
    assert len(audit.rows) >= ROWS_MIN
    assert len(audit.checkpoints) > 2
    assert find_fault(audit.evidence(), keys.public, keys) is None
    assert find_fault(other.evidence(), keys.public, keys) is None
    chance = random.Random(SEED)
    kinds = list(TAMPER)
    missed, tried = [], 0
    while tried < TAMPERINGS:
        kind = kinds[tried % len(kinds)]
        copy = audit.again()
        TAMPER[kind](copy, chance, other)
        if chance.random() < 0.5 and copy.rows:
            digested_anew(copy)
        if copy == audit:
            continue
        tried += 1
        if find_fault(copy.evidence(), keys.public, keys) is None:
            missed.append((tried, kind))
    assert missed == [], f"seed {SEED}"


@pytest.mark.parametrize("kind", ["edit", "delete", "reorder", "splice"])
def test_the_public_key_alone_proves_what_is_signed(
    kind: str, audit: Copy, other: Copy, keys: AuditKeys
) -> None:
    """Who has no secret sees every tampering up to the last checkpoint, however digested."""
    chance = random.Random(SEED)
    signed = audit.checkpoints[-1].number
    assert find_fault(audit.evidence(), keys.public, None) is None
    for _ in range(200):
        copy = audit.again()
        before, copy.rows = copy.rows[signed - 1 :], copy.rows[: signed - 1]
        TAMPER[kind](copy, chance, other)
        copy.rows += before
        if copy.rows == audit.rows:
            continue
        digested_anew(copy)
        if [sealed.row for sealed in copy.rows] != [sealed.row for sealed in audit.rows]:
            assert find_fault(copy.evidence(), keys.public, None) is not None


def test_the_first_bad_row_is_named(audit: Copy, keys: AuditKeys) -> None:
    """So that an operator knows from where on nothing is sure."""
    copy = audit.again()
    for at in (25, 12):
        row = replace(copy.rows[at].row, actor="mallory")
        copy.rows[at] = replace(copy.rows[at], row=row)
    fault = find_fault(copy.evidence(), keys.public, keys)
    assert fault is not None
    assert fault.number == 13


def test_a_whole_past_passes_until_a_kept_checkpoint_is_shown(
    keyed: Store, clock: Clock, make_entries: MakeEntries, keys: AuditKeys, told: list[Checkpoint]
) -> None:
    """The store put back to a state that it had is what the store alone cannot tell."""
    past = fill(keyed, clock, make_entries, SEED)
    keyed.audit(Actor("ana", "reviewer"), "find matches")
    clock.now_s += 700
    keyed.check_point()
    assert find_fault(past.evidence(), keys.public, keys) is None
    shown = replace(past.evidence(), kept=told)
    fault = find_fault(shown, keys.public, keys)
    assert fault is not None
    assert (fault.number, fault.what) == (
        past.head.number + 1, "is missing: a checkpoint covers it",
    )  # fmt: skip
