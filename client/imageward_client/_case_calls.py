"""One function a call about cases.

Each says what is sent and how its answer is read. Both clients are made of
these, so that they cannot drift apart.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from imageward.v1 import case_pb2
from imageward_client import _case_convert as convert
from imageward_client import _rpc
from imageward_client._call import Call, Page, bounded
from imageward_client._convert import names, stop_action_number
from imageward_client._types import StopAction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imageward_client._case_answers import Case, LinkAnswer, OpenAnswer

# A case that has stopped uploads for a year takes some 30 kB: more would not fit a message.
PAGE_SIZE = 100


def open_case(
    contact: str, region: str, language: str
) -> Call[case_pb2.OpenCaseResponse, OpenAnswer]:
    """Returns the call that opens a case."""
    request = case_pb2.OpenCaseRequest(region=region, language=language, contact=contact)
    return Call(_rpc.OPEN_CASE, request, convert.open_answer)


def renew_link(case_number: str) -> Call[case_pb2.RenewLinkResponse, LinkAnswer]:
    """Returns the call that makes a case another link."""
    request = case_pb2.RenewLinkRequest(case_number=case_number)
    return Call(_rpc.RENEW_LINK, request, convert.link_answer)


def revoke_link(case_number: str) -> Call[case_pb2.RevokeLinkResponse, bool]:
    """Returns the call that makes the link of a case useless."""
    request = case_pb2.RevokeLinkRequest(case_number=case_number)
    return Call(_rpc.REVOKE_LINK, request, lambda response: response.revoked)


def get_case(case_number: str) -> Call[case_pb2.GetCaseResponse, Case]:
    """Returns the call that fetches one case."""
    request = case_pb2.GetCaseRequest(case_number=case_number)
    return Call(_rpc.GET_CASE, request, lambda response: convert.case(response.case))


def list_cases(page_token: str) -> Call[case_pb2.ListCasesResponse, Page[Case]]:
    """Returns the call that fetches a page of cases."""
    return Call(
        _rpc.LIST_CASES,
        case_pb2.ListCasesRequest(page_size=PAGE_SIZE, page_token=page_token),
        lambda page: Page(tuple(map(convert.case, page.cases)), page.next_page_token),
    )


def report_posted(
    image: bytes, upload_id: str, surface: str, region: str, language: str, contact: str
) -> Call[case_pb2.ReportPostedResponse, str]:
    """Returns the call that hands over a picture that was posted.

    Raises:
        ImageTooLarge: the image is over its bytes.
    """
    request = case_pb2.ReportPostedRequest(
        image=bounded(image),
        upload_id=upload_id,
        surface=surface,
        region=region,
        language=language,
        contact=contact,
    )
    return Call(_rpc.REPORT_POSTED, request, lambda response: response.case_number)


def report_action(
    entry_ids: Sequence[str], surface: str, action: StopAction | str, request_id: str | None
) -> Call[case_pb2.ReportActionResponse, None]:
    """Returns the call that counts an upload, with a request id that retries repeat."""
    request = case_pb2.ReportActionRequest(
        entry_ids=names(entry_ids),
        surface=surface,
        action=stop_action_number(StopAction(action)),
        request_id=request_id or uuid.uuid4().hex,
    )
    return Call(_rpc.REPORT_ACTION, request, lambda _: None)


def appeal_entry(entry_id: str, image: bytes) -> Call[case_pb2.AppealEntryResponse, str]:
    """Returns the call that puts an entry before the reviewers again.

    Raises:
        ImageTooLarge: the image is over its bytes.
    """
    request = case_pb2.AppealEntryRequest(entry_id=entry_id, image=bounded(image))
    return Call(_rpc.APPEAL_ENTRY, request, lambda response: response.case_number)
