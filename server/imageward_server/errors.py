"""The server's own exceptions, below the root that the index defines.

ImagewardError (imageward_index.errors)
├── InvalidRequest          a field is missing, malformed or out of range
│   ├── UnknownSurface
│   └── InvalidPageToken
├── InvalidImage            (imageward_index.errors)
│   └── ImageTooCostly      takes longer to decode than an image may
├── UnacceptablePicture     a person's or platform's picture that cannot be taken
│   ├── DuplicatePicture
│   ├── PolyglotPicture     another kind of file as well
│   ├── TooManyPictures
│   └── CaseWithdrawn
├── EntryNotFound
│   └── EntryErased         its codes are gone for good
├── CaseNotFound
├── Unauthenticated         no credential, or a wrong one
├── PermissionDenied        another role, or a case that another has opened
├── IntakeNotConfigured
├── BankExists
├── RequestIdReused         with other contents than the first time
├── TooManyBanks
├── Overloaded              refused unseen; the same call may succeed a little later
│   ├── RateLimited         the caller makes too many calls
│   ├── TooManyStreams
│   └── TooManyCostlyImages this image takes long to decode, and so do others
├── UnknownMethod
├── DeadlineExceeded        nobody waits for the answer any more
├── Unavailable             the same call may succeed later
│   ├── Loading
│   ├── Draining
│   └── StoreUnavailable
├── RevisionNotReached      within the deadline
├── StoreIncompatible       written by another version of the format
├── KeysUnusable            the store is encrypted, and not with the keys that are here
└── DataCorrupt             damaged at rest; an operator must look
"""

from __future__ import annotations

from imageward_index.errors import ImagewardError, InvalidImage, InvalidInput


class InvalidRequest(InvalidInput):
    """A field of the request is missing, malformed or out of range."""


class UnknownSurface(InvalidRequest):
    """The surface is not one that the server was configured with."""


class InvalidPageToken(InvalidRequest):
    """The page token is not one of this listing."""


class ImageTooCostly(InvalidImage):
    """The image takes longer to decode than an image may."""


class UnacceptablePicture(InvalidInput):
    """A picture cannot be taken into the quarantine."""


class DuplicatePicture(UnacceptablePicture):
    """The case has these very bytes."""


class PolyglotPicture(UnacceptablePicture):
    """The file is a picture and another kind of file at once."""


class TooManyPictures(UnacceptablePicture):
    """The case has as many pictures as it may."""


class CaseWithdrawn(UnacceptablePicture):
    """The person took the case back."""


class EntryNotFound(ImagewardError):
    """No entry has the id."""


class EntryErased(EntryNotFound):
    """The entry was withdrawn for good: nothing is left to put back."""


class CaseNotFound(ImagewardError):
    """No case has the number."""


class Unauthenticated(ImagewardError):
    """The call carries no token, or a wrong one."""


class PermissionDenied(ImagewardError):
    """The credential may not do this."""


class IntakeNotConfigured(ImagewardError):
    """The server runs without the intake's file."""


class BankExists(ImagewardError):
    """A bank of the name exists."""


class RequestIdReused(ImagewardError):
    """The request id was used before, with other contents."""


class TooManyBanks(ImagewardError):
    """There are as many banks as entry ids can tell apart."""


class Overloaded(ImagewardError):
    """The server, or the caller's share of it, has no room for the call.

    Attributes:
        retry_after_s: seconds that the caller is asked to wait.
    """

    def __init__(self, message: str, *, retry_after_s: float = 1.0, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after_s = retry_after_s


class RateLimited(Overloaded):
    """The caller makes more calls a second than it may."""


class TooManyStreams(Overloaded):
    """As many streams are open as there are threads for."""


class TooManyCostlyImages(Overloaded):
    """The image takes long to decode, and so do as many others as may at once."""


class UnknownMethod(ImagewardError):
    """The service or method does not exist here."""


class DeadlineExceeded(ImagewardError):
    """The deadline passed before the answer was ready."""


class Unavailable(ImagewardError):
    """The server cannot answer now; the same call may succeed later."""


class Loading(Unavailable):
    """The replica is reading the store."""


class Draining(Unavailable):
    """The server finishes what runs and takes nothing new."""


class StoreUnavailable(Unavailable):
    """The store does not answer."""


class RevisionNotReached(ImagewardError):
    """The replica did not reach the revision within the deadline."""


class StoreIncompatible(ImagewardError):
    """The store was written by another version of the format."""


class KeysUnusable(ImagewardError):
    """The store is encrypted, or should be, and its keys are missing or others."""


class DataCorrupt(ImagewardError):
    """Data at rest is damaged."""
