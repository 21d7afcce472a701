"""The store: the only truth about banks and entries, with a feed of every change.

`Store` is its face. Inside, each file says one thing: `schema` the tables, `engine`
how to connect, `head` the counters and the feed's writing end, `banks` and `entries`
the changes, `feed` the reading end, `migrate` how an older store becomes this one, and
`case_tables` what the intake keeps beside them; `ledger` and `audit_tables` the audit.
"""

from imageward_server.store import audit_tables, case_tables
from imageward_server.store.entries import read_fingerprint
from imageward_server.store.records import (
    Addition,
    BankRecord,
    EntryRecord,
    EntryStates,
    FeedPage,
    NewEntry,
)
from imageward_server.store.schema import EntrySource, EntryState
from imageward_server.store.store import Snapshot, Store

__all__ = [
    "Addition",
    "BankRecord",
    "EntryRecord",
    "EntrySource",
    "EntryState",
    "EntryStates",
    "FeedPage",
    "NewEntry",
    "Snapshot",
    "Store",
    "audit_tables",
    "case_tables",
    "read_fingerprint",
]
