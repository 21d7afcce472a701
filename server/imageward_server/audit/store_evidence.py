"""Collects an audit from the store that it is in, as of one moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from imageward_server.audit.row import Checkpoint
from imageward_server.audit.verify import Evidence
from imageward_server.store import Store
from imageward_server.store.head import current_revision
from imageward_server.store.ledger import read_checkpoints, read_head, read_rows


@contextmanager
def collect(store: Store, kept: Sequence[Checkpoint]) -> Iterator[Evidence]:
    """Open the audit of a store; its rows are read as they are asked for.

    Args:
        store: the store, which may be served meanwhile.
        kept: checkpoints that were kept elsewhere.

    Raises:
        DataCorrupt: the audit's end was removed.
    """
    with store.reading() as connection:
        yield Evidence(
            head=read_head(connection),
            rows=read_rows(connection),
            checkpoints=read_checkpoints(connection),
            kept=list(kept),
            revision=current_revision(connection),
        )
