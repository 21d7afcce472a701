"""What the asyncio client asks about banks and their entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageward_client import _bank_calls as calls
from imageward_client._types import Action

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from imageward_client._answers import AddAnswer, Bank, ChangeAnswer, Entry, FindAnswer, Stats
    from imageward_client._async_transport import AsyncTransport
    from imageward_client._types import EntryState, HashLike


class AsyncBankMethods:
    """The calls of reviewers and partner organisations."""

    _transport: AsyncTransport

    async def create_bank(
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
        """Does what `Client.create_bank` does."""
        call = calls.create_bank(
            name,
            action=action,
            radius_bits=radius,
            surfaces=surfaces,
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        return await self._transport.send(call, timeout_s)

    async def get_bank(self, name: str, *, timeout_s: float | None = None) -> Bank:
        """Does what `Client.get_bank` does."""
        return await self._transport.send(calls.get_bank(name), timeout_s)

    def list_banks(self, *, timeout_s: float | None = None) -> AsyncIterator[Bank]:
        """Does what `Client.list_banks` does."""
        return self._transport.pages(calls.list_banks, timeout_s)

    async def update_bank(
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
        """Does what `Client.update_bank` does."""
        call = calls.update_bank(
            name,
            action=action,
            radius_bits=radius,
            surfaces=surfaces,
            enabled=enabled,
            coverage_min=coverage_min,
            review_doubtful=review_doubtful,
        )
        return await self._transport.send(call, timeout_s)

    async def add_entries(
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
        """Does what `Client.add_entries` does."""
        call = calls.add_entries(bank, images, hashes, fingerprints, references, request_id)
        return await self._transport.send(call, timeout_s)

    async def withdraw_entries(
        self, entry_ids: Sequence[str], *, timeout_s: float | None = None
    ) -> ChangeAnswer:
        """Does what `Client.withdraw_entries` does."""
        return await self._transport.send(calls.withdraw_entries(entry_ids), timeout_s)

    async def restore_entries(
        self, entry_ids: Sequence[str], *, timeout_s: float | None = None
    ) -> ChangeAnswer:
        """Does what `Client.restore_entries` does."""
        return await self._transport.send(calls.restore_entries(entry_ids), timeout_s)

    async def get_entry(self, entry_id: str, *, timeout_s: float | None = None) -> Entry:
        """Does what `Client.get_entry` does."""
        return await self._transport.send(calls.get_entry(entry_id), timeout_s)

    async def get_fingerprint(self, entry_id: str, *, timeout_s: float | None = None) -> bytes:
        """Does what `Client.get_fingerprint` does."""
        return await self._transport.send(calls.get_fingerprint(entry_id), timeout_s)

    def list_entries(
        self,
        bank: str = "",
        state: EntryState | None = None,
        *,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Entry]:
        """Does what `Client.list_entries` does."""
        return self._transport.pages(
            lambda token: calls.list_entries(bank, state, token), timeout_s
        )

    async def find_matches(
        self,
        *,
        image: bytes | None = None,
        hash: HashLike | None = None,  # noqa: A002 - the contract's own word
        banks: Sequence[str] = (),
        radius: int | None = None,
        timeout_s: float | None = None,
    ) -> FindAnswer:
        """Does what `Client.find_matches` does."""
        return await self._transport.send(calls.find_matches(image, hash, banks, radius), timeout_s)

    async def get_stats(self, *, timeout_s: float | None = None) -> Stats:
        """Does what `Client.get_stats` does."""
        return await self._transport.send(calls.get_stats(), timeout_s)
