"""The calls of the contract: where each is sent, and whether it may be sent twice.

The channel's retry policy and both clients read this one table. Nothing here
knows arguments or answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from imageward.v1 import bank_pb2, case_pb2, match_pb2

if TYPE_CHECKING:
    from google.protobuf.message import Message

Response = TypeVar("Response", bound="Message")

MATCH_SERVICE = "imageward.v1.MatchService"
BANK_SERVICE = "imageward.v1.BankService"
CASE_SERVICE = "imageward.v1.CaseService"


@dataclass(frozen=True, slots=True)
class Rpc(Generic[Response]):
    """One method of a service.

    Attributes:
        service: full name of the service.
        method: name of the method.
        response: class of its answers.
        idempotent: whether it may be sent again after UNAVAILABLE, which does
            not say whether the server had run it.
    """

    service: str
    method: str
    response: type[Response]
    idempotent: bool = True

    @property
    def path(self) -> str:
        """Where the call is sent."""
        return f"/{self.service}/{self.method}"


def serialize(message: Message) -> bytes:
    """Returns a message's wire form."""
    return message.SerializeToString()


CHECK_IMAGE = Rpc(MATCH_SERVICE, "CheckImage", match_pb2.CheckImageResponse)
CHECK_HASHES = Rpc(MATCH_SERVICE, "CheckHashes", match_pb2.CheckHashesResponse)
# What a stream has answered cannot be unsaid: the caller decides what to ask again.
CHECK_STREAM = Rpc(MATCH_SERVICE, "CheckStream", match_pb2.CheckStreamResponse, idempotent=False)
# A second CreateBank would be answered with BANK_EXISTS, as if somebody else's.
CREATE_BANK = Rpc(BANK_SERVICE, "CreateBank", bank_pb2.CreateBankResponse, idempotent=False)
GET_BANK = Rpc(BANK_SERVICE, "GetBank", bank_pb2.GetBankResponse)
LIST_BANKS = Rpc(BANK_SERVICE, "ListBanks", bank_pb2.ListBanksResponse)
UPDATE_BANK = Rpc(BANK_SERVICE, "UpdateBank", bank_pb2.UpdateBankResponse)
# The request id makes it safe: the server answers the second as the first.
ADD_ENTRIES = Rpc(BANK_SERVICE, "AddEntries", bank_pb2.AddEntriesResponse)
WITHDRAW_ENTRIES = Rpc(BANK_SERVICE, "WithdrawEntries", bank_pb2.WithdrawEntriesResponse)
RESTORE_ENTRIES = Rpc(BANK_SERVICE, "RestoreEntries", bank_pb2.RestoreEntriesResponse)
GET_ENTRY = Rpc(BANK_SERVICE, "GetEntry", bank_pb2.GetEntryResponse)
LIST_ENTRIES = Rpc(BANK_SERVICE, "ListEntries", bank_pb2.ListEntriesResponse)
FIND_MATCHES = Rpc(BANK_SERVICE, "FindMatches", bank_pb2.FindMatchesResponse)
GET_STATS = Rpc(BANK_SERVICE, "GetStats", bank_pb2.GetStatsResponse)
# A second OpenCase or ReportPosted would open a second case.
OPEN_CASE = Rpc(CASE_SERVICE, "OpenCase", case_pb2.OpenCaseResponse, idempotent=False)
# A first RenewLink that still runs would revoke the link that a second was answered with.
RENEW_LINK = Rpc(CASE_SERVICE, "RenewLink", case_pb2.RenewLinkResponse, idempotent=False)
REVOKE_LINK = Rpc(CASE_SERVICE, "RevokeLink", case_pb2.RevokeLinkResponse)
GET_CASE = Rpc(CASE_SERVICE, "GetCase", case_pb2.GetCaseResponse)
LIST_CASES = Rpc(CASE_SERVICE, "ListCases", case_pb2.ListCasesResponse)
REPORT_POSTED = Rpc(CASE_SERVICE, "ReportPosted", case_pb2.ReportPostedResponse, idempotent=False)
# The request id makes it safe: what is sent again is counted once.
REPORT_ACTION = Rpc(CASE_SERVICE, "ReportAction", case_pb2.ReportActionResponse)
# A second AppealEntry would be refused as a duplicate of its own first.
APPEAL_ENTRY = Rpc(CASE_SERVICE, "AppealEntry", case_pb2.AppealEntryResponse, idempotent=False)

RPCS = (
    CHECK_IMAGE,
    CHECK_HASHES,
    CHECK_STREAM,
    CREATE_BANK,
    GET_BANK,
    LIST_BANKS,
    UPDATE_BANK,
    ADD_ENTRIES,
    WITHDRAW_ENTRIES,
    RESTORE_ENTRIES,
    GET_ENTRY,
    LIST_ENTRIES,
    FIND_MATCHES,
    GET_STATS,
    OPEN_CASE,
    RENEW_LINK,
    REVOKE_LINK,
    GET_CASE,
    LIST_CASES,
    REPORT_POSTED,
    REPORT_ACTION,
    APPEAL_ENTRY,
)
