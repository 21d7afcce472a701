"""What the asyncio client asks about cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageward_client import _case_calls as calls
from imageward_client._types import StopAction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from imageward_client._async_transport import AsyncTransport
    from imageward_client._case_answers import Case, LinkAnswer, OpenAnswer


class AsyncCaseMethods:
    """The calls of partner organisations about cases, and of frontends about uploads."""

    _transport: AsyncTransport

    async def open_case(
        self, contact: str, *, region: str, language: str = "", timeout_s: float | None = None
    ) -> OpenAnswer:
        """Does what `Client.open_case` does."""
        return await self._transport.send(calls.open_case(contact, region, language), timeout_s)

    async def renew_link(self, case_number: str, *, timeout_s: float | None = None) -> LinkAnswer:
        """Does what `Client.renew_link` does."""
        return await self._transport.send(calls.renew_link(case_number), timeout_s)

    async def revoke_link(self, case_number: str, *, timeout_s: float | None = None) -> bool:
        """Does what `Client.revoke_link` does."""
        return await self._transport.send(calls.revoke_link(case_number), timeout_s)

    async def get_case(self, case_number: str, *, timeout_s: float | None = None) -> Case:
        """Does what `Client.get_case` does."""
        return await self._transport.send(calls.get_case(case_number), timeout_s)

    def list_cases(self, *, timeout_s: float | None = None) -> AsyncIterator[Case]:
        """Does what `Client.list_cases` does."""
        return self._transport.pages(calls.list_cases, timeout_s)

    async def report_posted(
        self,
        image: bytes,
        *,
        upload_id: str,
        surface: str,
        region: str,
        language: str = "",
        contact: str = "",
        timeout_s: float | None = None,
    ) -> str:
        """Does what `Client.report_posted` does."""
        call = calls.report_posted(image, upload_id, surface, region, language, contact)
        return await self._transport.send(call, timeout_s)

    async def report_action(
        self,
        entry_ids: Sequence[str],
        *,
        surface: str,
        action: StopAction | str = StopAction.BLOCKED,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Does what `Client.report_action` does."""
        call = calls.report_action(entry_ids, surface, action, request_id)
        return await self._transport.send(call, timeout_s)

    async def appeal_entry(
        self, entry_id: str, image: bytes, *, timeout_s: float | None = None
    ) -> str:
        """Does what `Client.appeal_entry` does."""
        return await self._transport.send(calls.appeal_entry(entry_id, image), timeout_s)
