"""Whether an audit is what was written: every row, in its place, none left out.

What is detected, by whoever has the key: a row that was edited, removed, moved, repeated
or brought from elsewhere; rows removed at the end, because the head is sealed too; a
checkpoint that was edited or removed; a change of the store that no row tells of.

What is not: the whole database put back to a state that it had. That is detected by a
checkpoint that was kept elsewhere since, down to the row that it covers. Nor is it what
somebody writes who has the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from imageward_server.audit.keys import AuditKeys, PublicKey
from imageward_server.audit.row import (
    ChainHead,
    Checkpoint,
    SealedRow,
    digest_before_the_first,
    digest_of,
)


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing that is wrong.

    Attributes:
        number: of the row where it is seen.
        what: what is wrong with it.
    """

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that there is to judge an audit by.

    Attributes:
        head: where the chain says that it ends.
        rows: in their order.
        checkpoints: that lie beside the rows, oldest first.
        kept: checkpoints that were kept elsewhere.
        revision: the store's; None where there is no store to compare with.
    """

    head: ChainHead
    rows: Iterable[SealedRow]
    checkpoints: list[Checkpoint]
    kept: list[Checkpoint] = field(default_factory=list)
    revision: int | None = None


def find_fault(evidence: Evidence, public: PublicKey, keys: AuditKeys | None) -> Fault | None:
    """Return the first fault of an audit, or None if it is whole.

    Args:
        evidence: the audit.
        public: what its checkpoints are signed with.
        keys: what its rows are sealed with; None judges by checkpoints alone, which prove
            the rows up to the last of them.
    """
    walk = _Walk(evidence, public, keys)
    return next(walk.faults(), None)


class _Walk:
    """One pass over the rows, with what is known on the way."""

    def __init__(self, evidence: Evidence, public: PublicKey, keys: AuditKeys | None) -> None:
        self._evidence = evidence
        self._head = evidence.head
        self._public = public
        self._keys = keys
        self._digest = digest_before_the_first(self._head.chain_id)
        self._number = 0
        self._revision = 0
        # What is signed for a row must agree with it, wherever the checkpoint was kept.
        self._signed: dict[int, list[Checkpoint]] = {}
        for checkpoint in (*evidence.checkpoints, *evidence.kept):
            self._signed.setdefault(checkpoint.number, []).append(checkpoint)

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong, in the order of the rows; only the first is certain."""
        for sealed in self._evidence.rows:
            yield from self._row_faults(sealed)
        yield from self._end_faults()
        yield from self._checkpoint_faults()

    def _row_faults(self, sealed: SealedRow) -> Iterator[Fault]:
        row = sealed.row
        expected = self._number + 1
        if row.number != expected:
            yield Fault(expected, f"is missing: row {row.number} stands in its place")
        if row.revision < self._revision:
            yield Fault(row.number, "tells of an earlier revision than the row before")
        self._number, self._revision = row.number, row.revision
        self._digest = digest_of(self._digest, row)
        if sealed.digest != self._digest:
            yield Fault(row.number, "was edited, or the row before it is another")
        if row.number >= self._head.first and not self._fits(sealed):
            yield Fault(row.number, "was not written with this key")
        for checkpoint in self._signed.pop(row.number, []):
            yield from self._signature_faults(checkpoint)

    def _fits(self, sealed: SealedRow) -> bool:
        return self._keys is None or self._keys.fits_row(self._digest, sealed.mac)

    def _signature_faults(self, checkpoint: Checkpoint) -> Iterator[Fault]:
        signed_before = checkpoint.number < self._head.first  # by another key
        if not (signed_before or self._public.fits(self._head.chain_id, checkpoint)):
            yield Fault(checkpoint.number, "has a checkpoint that this key has not signed")
        if checkpoint.digest != self._digest:
            yield Fault(checkpoint.number, "is another than its checkpoint was signed for")

    def _end_faults(self) -> Iterator[Fault]:
        head = self._head
        if self._number != head.number:
            yield Fault(self._number + 1, f"is missing: the audit ends at row {head.number}")
        if self._number == 0:
            yield Fault(1, "is missing: the audit was never begun")
        if head.digest != self._digest:
            yield Fault(self._number, "is not the one that the audit ends with")
        if self._keys and not self._keys.fits_head(head):
            yield Fault(self._number, "may not be the last: the audit's end was changed")
        if self._evidence.revision not in (None, self._revision):
            yield Fault(
                self._number + 1,
                f"is missing: the store is at revision {self._evidence.revision}, "
                f"and the last row tells of {self._revision}",
            )

    def _checkpoint_faults(self) -> Iterator[Fault]:
        for number in sorted(self._signed):
            yield Fault(number, "is missing: a checkpoint covers it")
        previous = 0
        for checkpoint in self._evidence.checkpoints:
            if checkpoint.previous != previous:
                yield Fault(checkpoint.previous, "has lost its checkpoint")
            previous = checkpoint.number
        if previous != self._head.checkpoint:
            yield Fault(self._head.checkpoint, "has lost its checkpoint")
