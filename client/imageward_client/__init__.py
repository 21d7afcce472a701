"""Calls an imageward server: is this upload a banked picture?

    from imageward_client import Client, Verdict

    with Client("127.0.0.1:50051") as client:
        answer = client.check_image(upload, surface="FACEBOOK")
        if answer.verdict is Verdict.BLOCK:
            ...

Without `token` and `tls` it calls a server on this machine that asks for neither;
`Client("ward.example:50051", token="NAME.SECRET", tls=Tls(ca_file=...))` calls others.

1. `Client` blocks, `AsyncClient` awaits; both have one method a call of the contract.
2. Every call has a deadline, 2 s unless you say otherwise. What may be sent twice
   is retried while the server is unavailable, within a budget (`RetryPolicy`).
3. A call without an answer raises an `ImagewardClientError`; the tree is in
   `imageward_client.errors`. Its absence is never an ALLOW: decide what your
   frontend does with an upload that could not be checked.

This package is what an upload frontend installs. It knows the contract, and
neither the index nor the server. Only the names in `__all__` are its interface.
"""

from __future__ import annotations

from imageward_client._answers import (
    AddAnswer,
    AddResult,
    Bank,
    BankStats,
    ChangeAnswer,
    CheckAnswer,
    CheckResult,
    Entry,
    FindAnswer,
    HashesAnswer,
    Match,
    Point,
    Stats,
    StreamAnswer,
)
from imageward_client._async_client import AsyncClient
from imageward_client._case_answers import (
    Case,
    CasePicture,
    LinkAnswer,
    OpenAnswer,
    StopCount,
)
from imageward_client._channel import RetryPolicy
from imageward_client._client import Client
from imageward_client._tls import Tls
from imageward_client._types import (
    Action,
    CaseState,
    Completeness,
    EntrySource,
    EntryState,
    HashLike,
    HashQuery,
    ImageQuery,
    Method,
    Orientation,
    PdqHash,
    Scope,
    ServingStatus,
    StopAction,
    Verdict,
)
from imageward_client.errors import (
    AlreadyExists,
    BankExists,
    BankNotFound,
    Cancelled,
    CaseNotFound,
    DataCorrupt,
    DataLoss,
    DeadlineExceeded,
    Draining,
    EntryNotFound,
    FailedPrecondition,
    ImageTooCostly,
    ImageTooLarge,
    ImagewardClientError,
    IntakeNotConfigured,
    InternalError,
    InvalidBatch,
    InvalidHash,
    InvalidImage,
    InvalidPageToken,
    InvalidRadius,
    InvalidRequest,
    Loading,
    LowQuality,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    RequestIdReused,
    RequestTooLarge,
    RevisionNotReached,
    StoreIncompatible,
    StoreUnavailable,
    TooManyBanks,
    TooManyCostlyImages,
    TooManyStreams,
    UnacceptablePicture,
    Unauthenticated,
    Unavailable,
    UndecodableImage,
    Unimplemented,
    UnknownMethod,
    UnknownSurface,
    UnreadableAnswer,
    UnsupportedFormat,
)

__all__ = [
    "Action",
    "AddAnswer",
    "AddResult",
    "AlreadyExists",
    "AsyncClient",
    "Bank",
    "BankExists",
    "BankNotFound",
    "BankStats",
    "Cancelled",
    "Case",
    "CaseNotFound",
    "CasePicture",
    "CaseState",
    "ChangeAnswer",
    "CheckAnswer",
    "CheckResult",
    "Client",
    "Completeness",
    "DataCorrupt",
    "DataLoss",
    "DeadlineExceeded",
    "Draining",
    "Entry",
    "EntryNotFound",
    "EntrySource",
    "EntryState",
    "FailedPrecondition",
    "FindAnswer",
    "HashLike",
    "HashQuery",
    "HashesAnswer",
    "ImageQuery",
    "ImageTooCostly",
    "ImageTooLarge",
    "ImagewardClientError",
    "IntakeNotConfigured",
    "InternalError",
    "InvalidBatch",
    "InvalidHash",
    "InvalidImage",
    "InvalidPageToken",
    "InvalidRadius",
    "InvalidRequest",
    "LinkAnswer",
    "Loading",
    "LowQuality",
    "Match",
    "Method",
    "NotFound",
    "OpenAnswer",
    "Orientation",
    "Overloaded",
    "PdqHash",
    "PermissionDenied",
    "Point",
    "RateLimited",
    "RequestIdReused",
    "RequestTooLarge",
    "RetryPolicy",
    "RevisionNotReached",
    "Scope",
    "ServingStatus",
    "Stats",
    "StopAction",
    "StopCount",
    "StoreIncompatible",
    "StoreUnavailable",
    "StreamAnswer",
    "Tls",
    "TooManyBanks",
    "TooManyCostlyImages",
    "TooManyStreams",
    "UnacceptablePicture",
    "Unauthenticated",
    "Unavailable",
    "UndecodableImage",
    "Unimplemented",
    "UnknownMethod",
    "UnknownSurface",
    "UnreadableAnswer",
    "UnsupportedFormat",
    "Verdict",
]
