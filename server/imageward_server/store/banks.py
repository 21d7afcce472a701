"""Banks in the store: functions over a connection, which is one transaction."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from imageward_index.entry_id import BANK_NUMBER_MAX
from imageward_index.policy import Action, Bank, Policy, unknown_bank
from imageward_server.errors import BankExists, TooManyBanks
from imageward_server.store.head import Head
from imageward_server.store.records import BankRecord
from imageward_server.store.schema import bank as table


def create(head: Head, name: str, policy: Policy) -> BankRecord:
    """Make an empty bank.

    Raises:
        BankExists: one of this name exists.
        TooManyBanks: there are 65,535.
    """
    taken = head.connection.execute(sa.select(table.c.number).where(table.c.name == name)).first()
    if taken:
        raise BankExists(f"a bank named {name!r} exists; update it or choose another name")
    last = head.connection.execute(sa.select(sa.func.max(table.c.number))).scalar_one() or 0
    if last >= BANK_NUMBER_MAX:
        raise TooManyBanks(
            f"there are {last} banks, as many as can be; use one of them", banks_max=BANK_NUMBER_MAX
        )
    head.connection.execute(
        table.insert().values(
            number=last + 1,
            name=name,
            active_count=0,
            withdrawn_count=0,
            created_us=head.now_us,
            updated_us=head.now_us,
            revision=head.record_bank(last + 1),
            **_policy_columns(policy),
        )
    )
    return get(head.connection, name)


def update(head: Head, name: str, policy: Policy) -> BankRecord:
    """Give a bank another policy.

    Raises:
        BankNotFound: there is none of this name.
    """
    number = get(head.connection, name).bank.number
    head.connection.execute(
        table.update()
        .where(table.c.number == number)
        .values(
            updated_us=head.now_us, revision=head.record_bank(number), **_policy_columns(policy)
        )
    )
    return get(head.connection, name)


def count_entries(head: Head, number: int, *, active: int, withdrawn: int) -> None:
    """Add to a bank's counts of entries; negative takes away."""
    head.connection.execute(
        table.update()
        .where(table.c.number == number)
        .values(
            active_count=table.c.active_count + active,
            withdrawn_count=table.c.withdrawn_count + withdrawn,
        )
    )


def get(connection: sa.Connection, name: str) -> BankRecord:
    """Return a bank by its name.

    Raises:
        BankNotFound: there is none.
    """
    row = connection.execute(sa.select(table).where(table.c.name == name)).first()
    if row is None:
        raise unknown_bank(name)
    return _as_record(row)


def page(connection: sa.Connection, after_name: str, limit: int) -> list[BankRecord]:
    """Return up to `limit` banks whose names come after `after_name`, by name."""
    query = sa.select(table).where(table.c.name > after_name).order_by(table.c.name).limit(limit)
    return [_as_record(row) for row in connection.execute(query)]


def every(connection: sa.Connection) -> list[BankRecord]:
    """Return all banks, by name."""
    query = sa.select(table).order_by(table.c.name)
    return [_as_record(row) for row in connection.execute(query)]


def _policy_columns(policy: Policy) -> dict[str, Any]:
    return {
        "action": policy.action.value,
        "radius_bits": policy.radius_bits,
        "surfaces": sorted(policy.surfaces),
        "enabled": policy.enabled,
        "coverage_min": policy.coverage_min,
        "review_doubtful": policy.review_doubtful,
    }


def _as_record(row: Any) -> BankRecord:  # noqa: ANN401 - a row's columns are not typed
    policy = Policy(
        action=Action(row.action),
        radius_bits=row.radius_bits,
        surfaces=frozenset(row.surfaces),
        enabled=row.enabled,
        coverage_min=row.coverage_min,
        review_doubtful=row.review_doubtful,
    )
    return BankRecord(
        bank=Bank(row.number, row.name, policy),
        active_count=row.active_count,
        withdrawn_count=row.withdrawn_count,
        created_us=row.created_us,
        updated_us=row.updated_us,
        revision=row.revision,
    )
