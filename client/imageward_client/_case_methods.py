"""What the blocking client asks about cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageward_client import _case_calls as calls
from imageward_client._types import StopAction

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from imageward_client._case_answers import Case, LinkAnswer, OpenAnswer
    from imageward_client._transport import Transport


class CaseMethods:
    """The calls of partner organisations about cases, and of frontends about uploads."""

    _transport: Transport

    def open_case(
        self, contact: str, *, region: str, language: str = "", timeout_s: float | None = None
    ) -> OpenAnswer:
        """Opens a case for a person, and makes its one-time upload link; role partner.

        It is never retried: a second sending could open a second case. After an error,
        `list_cases` shows whether the first one did.

        Args:
            contact: e-mail address of the person, 1..254 characters.
            region: one of the server's regions, such as `US`.
            language: of pages and mail, `en` or `fr`; empty for `en`.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            InvalidRequest: the contact, region or language is not one.
            PermissionDenied: the caller is no partner.
        """
        return self._transport.send(calls.open_case(contact, region, language), timeout_s)

    def renew_link(self, case_number: str, *, timeout_s: float | None = None) -> LinkAnswer:
        """Makes another link for a case of the caller's own, and revokes those before.

        It is never retried: a first sending that was cut off may still run, and would
        revoke the link that the second had answered with. After an error, call again.

        Raises:
            CaseNotFound: no case has this number.
            PermissionDenied: it is not the caller's own.
        """
        return self._transport.send(calls.renew_link(case_number), timeout_s)

    def revoke_link(self, case_number: str, *, timeout_s: float | None = None) -> bool:
        """Makes the link of a case of the caller's own useless.

        Returns:
            Whether a link that could be used was revoked by this sending: after a retry,
            False may mean that an earlier one did.

        Raises:
            CaseNotFound: no case has this number.
            PermissionDenied: it is not the caller's own.
        """
        return self._transport.send(calls.revoke_link(case_number), timeout_s)

    def get_case(self, case_number: str, *, timeout_s: float | None = None) -> Case:
        """Returns the state, clocks and counts of a case of the caller's own.

        Raises:
            CaseNotFound: no case has this number.
            PermissionDenied: it is not the caller's own.
        """
        return self._transport.send(calls.get_case(case_number), timeout_s)

    def list_cases(self, *, timeout_s: float | None = None) -> Iterator[Case]:
        """Yields the caller's own cases by number, a page at a time; the timeout is a page's."""
        return self._transport.pages(calls.list_cases, timeout_s)

    def report_posted(
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
        """Opens a case of a picture that was already posted; role frontend.

        It is never retried: a second sending could open a second case.

        Args:
            image: the file, 1..20,000,000 bytes; it goes into the quarantine.
            upload_id: the platform's id of the upload, 1..128 characters.
            surface: where it appeared.
            region: one of the server's regions, such as `US`.
            language: of mail, `en` or `fr`; empty for `en`.
            contact: e-mail address of the person who reported it; empty for none.
            timeout_s: seconds for this call; None for the client's own.

        Returns:
            The number of the new case.

        Raises:
            ImageTooLarge: the image is over its bytes.
            InvalidImage: it cannot be decoded within the bounds.
            LowQuality: it has too little detail to be found again.
            UnacceptablePicture: it is another kind of file as well.
            InvalidRequest: the upload id, region, language or contact is not one.
            UnknownSurface: the server has no such surface.
        """
        call = calls.report_posted(image, upload_id, surface, region, language, contact)
        return self._transport.send(call, timeout_s)

    def report_action(
        self,
        entry_ids: Sequence[str],
        *,
        surface: str,
        action: StopAction | str = StopAction.BLOCKED,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> None:
        """Counts what a frontend did with one upload that matched; role frontend.

        Retries repeat the request id, so nothing is counted twice. To be as safe when
        calling again after an error, pass the same id and contents again; the server
        remembers it for 7 days.

        Args:
            entry_ids: the entries that the check answered with, 1..1,024.
            surface: the surface that was checked for.
            action: what was done.
            request_id: 1..64 characters; None for a new one.
            timeout_s: seconds for this call; None for the client's own.

        Raises:
            EntryNotFound: no entry has one of the ids.
            RequestIdReused: the id was used before with other contents.
            UnknownSurface: the server has no such surface.
        """
        call = calls.report_action(entry_ids, surface, action, request_id)
        return self._transport.send(call, timeout_s)

    def appeal_entry(self, entry_id: str, image: bytes, *, timeout_s: float | None = None) -> str:
        """Puts an entry before the reviewers again, with the upload that it stopped.

        Role frontend. The entry goes on matching until they decide. It is never retried:
        a second sending would be refused as a duplicate, or put it before them twice.

        Args:
            entry_id: the entry.
            image: the upload's file, 1..20,000,000 bytes; it goes into the quarantine.
            timeout_s: seconds for this call; None for the client's own.

        Returns:
            The number of the case in which it is decided.

        Raises:
            EntryNotFound: no entry has the id.
            ImageTooLarge: the image is over its bytes.
            InvalidImage: it cannot be decoded within the bounds.
            UnacceptablePicture: it was handed over before, or is another kind of file too.
        """
        return self._transport.send(calls.appeal_entry(entry_id, image), timeout_s)
