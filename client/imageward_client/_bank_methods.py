"""What the blocking client asks about banks and their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageward_client import _bank_calls as calls
from imageward_client._types import Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imageward_client._answers import AddAnswer, Bank, ChangeAnswer, Entry, FindAnswer, Stats
    from imageward_client._transport import Transport
    from imageward_client._types import EntryState, HashLike


class BankMethods:
    """The calls of reviewers and partner organisations."""

    _transport: Transport

    def create_bank(
        self,
        name: str,
        *,
        action: Action | str = Action.BLOCK,
        radius: int = 31,
        surfaces: Sequence[str] = (),
        enabled: bool = True,
        coverage_min: float = 0.0,
        review_doubtful: bool = False,
        timeout_s: float | None = None,
    ) -> Bank:
        """Makes an empty bank. It is never retried.

        Args:
            name: a letter or underscore, then letters, digits, `_`, `-` or `.`;
                1..64 characters.
            action: what a match means.
            radius: largest Hamming distance that is a match, in bits, 0..63.
            surfaces: the surfaces it is for; empty for every one.
            enabled: whether checks ask it.
            coverage_min: where parts of a picture are found, the least coverage that is
                a match, 0..1; what the server itself asks for holds beside it.
            review_doubtful: whether a person should look where parts are found, but not
                enough to be certain.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            BankExists: the name is taken.
            InvalidRequest: the name or the policy is out of bounds.
            TooManyBanks: the server holds no more.
        """
        call = calls.create_bank(
            name,
            action=action,
            radius_bits=radius,
            surfaces=surfaces,
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        return self._transport.send(call, timeout_s)

    def get_bank(self, name: str, *, timeout_s: float | None = None) -> Bank:
        """Returns one bank.

        Raises:
            BankNotFound: no bank has the name.
        """
        return self._transport.send(calls.get_bank(name), timeout_s)

    def list_banks(self, *, timeout_s: float | None = None) -> Iterator[Bank]:
        """Yields every bank by name, fetched a page at a time; the timeout is a page's."""
        return self._transport.pages(calls.list_banks, timeout_s)

    def update_bank(
        self,
        name: str,
        *,
        action: Action | str | None = None,
        radius: int | None = None,
        surfaces: Sequence[str] | None = None,
        enabled: bool | None = None,
        coverage_min: float | None = None,
        review_doubtful: bool | None = None,
        timeout_s: float | None = None,
    ) -> Bank:
        """Changes what is given of a bank's policy; see `create_bank`.

        Raises:
            BankNotFound: no bank has the name.
            InvalidRequest: nothing is given, or it is out of bounds.
        """
        call = calls.update_bank(
            name,
            action=action,
            radius_bits=radius,
            surfaces=surfaces,
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        return self._transport.send(call, timeout_s)

    def add_entries(
        self,
        bank: str,
        *,
        images: Sequence[bytes] | None = None,
        hashes: Sequence[HashLike] | None = None,
        fingerprints: Sequence[bytes] | None = None,
        references: Sequence[str] = (),
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> AddAnswer:
        """Banks 1..1,024 images, hashes or fingerprints; each refused one is a value in the answer.

        Retries repeat the request id, so nothing is banked twice. To be as safe
        when calling again after an error, pass the same id and contents again.

        Args:
            bank: the bank's name.
            images: pictures, 32,000,000 bytes in all; hashed there and not kept.
            hashes: instead of images; parts of these pictures will not be found.
            fingerprints: instead of images, as `get_fingerprint` returns them.
            references: the caller's own number for each, 0..128 characters, not a
                person's name; empty for none.
            request_id: 1..64 characters; None for a new one.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            TypeError: not exactly one of images, hashes and fingerprints is given.
            BankNotFound: no bank has the name.
            InvalidBatch: the batch is out of bounds.
            RequestIdReused: the id was used before with other contents.
        """
        call = calls.add_entries(bank, images, hashes, fingerprints, references, request_id)
        return self._transport.send(call, timeout_s)

    def withdraw_entries(
        self, entry_ids: Sequence[str], *, timeout_s: float | None = None
    ) -> ChangeAnswer:
        """Takes 1..1,024 entries out of every answer, all of them or none.

        Raises:
            EntryNotFound: no entry has one of the ids.
        """
        return self._transport.send(calls.withdraw_entries(entry_ids), timeout_s)

    def restore_entries(
        self, entry_ids: Sequence[str], *, timeout_s: float | None = None
    ) -> ChangeAnswer:
        """Puts 1..1,024 withdrawn entries back, all of them or none.

        Raises:
            EntryNotFound: no entry has one of the ids.
        """
        return self._transport.send(calls.restore_entries(entry_ids), timeout_s)

    def get_entry(self, entry_id: str, *, timeout_s: float | None = None) -> Entry:
        """Returns one entry.

        Raises:
            EntryNotFound: no entry has the id.
        """
        return self._transport.send(calls.get_entry(entry_id), timeout_s)

    def get_fingerprint(self, entry_id: str, *, timeout_s: float | None = None) -> bytes:
        """Returns all hashes of one entry, 35..3,600 bytes; personal data, for reviewers.

        Another server banks the entry from them as from the picture.

        Raises:
            EntryNotFound: no entry has the id.
        """
        return self._transport.send(calls.get_fingerprint(entry_id), timeout_s)

    def list_entries(
        self,
        bank: str = "",
        state: EntryState | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Iterator[Entry]:
        """Yields entries as they were banked, a page at a time; the timeout is a page's.

        Args:
            bank: only entries of this bank; empty for every bank, bank by bank.
            state: only entries in this state; None for any.
            timeout_s: seconds for each page; None for the client's own.

        Raises:
            BankNotFound: no bank has the name.
        """
        return self._transport.pages(
            lambda token: calls.list_entries(bank, state, token), timeout_s
        )

    def find_matches(
        self,
        *,
        image: bytes | None = None,
        hash: HashLike | None = None,  # noqa: A002 - the contract's own word
        banks: Sequence[str] = (),
        radius: int | None = None,
        timeout_s: float | None = None,
    ) -> FindAnswer:
        """Shows a reviewer which entries are near, and how near; asks disabled banks too.

        Args:
            image: a picture; every pass is run within the timeout.
            hash: instead of an image; asked exactly as it is given.
            banks: names of the banks to ask, at most 64; empty for all.
            radius: largest distance shown, in bits, 0..63; None for each bank's own.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            TypeError: not exactly one of image and hash is given.
            BankNotFound: a named bank does not exist.
            InvalidRadius: the radius is out of range.
        """
        return self._transport.send(calls.find_matches(image, hash, banks, radius), timeout_s)

    def get_stats(self, *, timeout_s: float | None = None) -> Stats:
        """Returns counts of the store and of the index that answers checks."""
        return self._transport.send(calls.get_stats(), timeout_s)
