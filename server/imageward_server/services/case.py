"""CaseService: cases of partners, and what platforms report. Pictures never come out here."""

from __future__ import annotations

import grpc

from imageward.v1 import case_pb2, case_pb2_grpc
from imageward_server.access import identity_of
from imageward_server.admission import Place
from imageward_server.errors import IntakeNotConfigured
from imageward_server.intake import audit, cases, links, outbox, platform, stops
from imageward_server.intake.credentials import read_case_number
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import CONTACT_CHARS_MAX, UPLOAD_ID_CHARS_MAX
from imageward_server.intake.records import CaseRecord, CaseState, PictureRecord, state_of
from imageward_server.intake.stops import StopAction, StopCount
from imageward_server.services import validate
from imageward_server.services.messages import timestamp
from imageward_server.services.paging import make_token, read_token
from imageward_server.store.case_tables import PictureKind

_DAY_US = 24 * 3600 * 1_000_000
_LANGUAGE_DEFAULT = "en"

_ACTIONS = {
    case_pb2.STOP_ACTION_UNSPECIFIED: StopAction.BLOCKED,
    case_pb2.STOP_ACTION_BLOCKED: StopAction.BLOCKED,
    case_pb2.STOP_ACTION_REVIEWED: StopAction.REVIEWED,
    case_pb2.STOP_ACTION_ALLOWED: StopAction.ALLOWED,
}
_STATES = {state: case_pb2.CaseState.Value(f"CASE_STATE_{state.name}") for state in CaseState}


class CaseService(case_pb2_grpc.CaseServiceServicer):
    """Opens and shows cases.

    Args:
        intake: where they are; None answers every call with INTAKE_NOT_CONFIGURED.
        place: waits for a place to compute in, and holds it.
    """

    def __init__(self, intake: Intake | None, place: Place) -> None:
        self._place = place
        self._optional_intake = intake

    @property
    def _intake(self) -> Intake:
        if self._optional_intake is None:
            raise IntakeNotConfigured(
                "this server has no intake; name its file with intake_config and start again"
            )
        return self._optional_intake

    def OpenCase(
        self, request: case_pb2.OpenCaseRequest, context: grpc.ServicerContext
    ) -> case_pb2.OpenCaseResponse:
        """Open a case, and make its link."""
        intake, partner = self._called_by(context)
        validate.text("contact", request.contact, chars_min=1, chars_max=CONTACT_CHARS_MAX)
        with intake.store.changing() as head:
            number = cases.open_case(
                intake,
                head,
                opener=partner,
                region=request.region,
                language=request.language or _LANGUAGE_DEFAULT,
                contact=request.contact,
            )
            link, expires_us = links.issue(intake, head, number, audit.partner(partner))
        return case_pb2.OpenCaseResponse(
            case_number=number, link=link, link_expire_time=timestamp(expires_us)
        )

    def RenewLink(
        self, request: case_pb2.RenewLinkRequest, context: grpc.ServicerContext
    ) -> case_pb2.RenewLinkResponse:
        """Make another link for a case of the partner's own."""
        intake, partner = self._called_by(context)
        with intake.store.changing() as head:
            number = read_case_number(request.case_number)
            cases.get_own(head.connection, number, partner)
            link, expires_us = links.issue(intake, head, number, audit.partner(partner))
        return case_pb2.RenewLinkResponse(link=link, link_expire_time=timestamp(expires_us))

    def RevokeLink(
        self, request: case_pb2.RevokeLinkRequest, context: grpc.ServicerContext
    ) -> case_pb2.RevokeLinkResponse:
        """Make the link of a case useless."""
        intake, partner = self._called_by(context)
        with intake.store.changing() as head:
            number = read_case_number(request.case_number)
            cases.get_own(head.connection, number, partner)
            revoked = links.revoke(head, number, audit.partner(partner))
        return case_pb2.RevokeLinkResponse(revoked=revoked > 0)

    def GetCase(
        self, request: case_pb2.GetCaseRequest, context: grpc.ServicerContext
    ) -> case_pb2.GetCaseResponse:
        """Return one of the partner's cases."""
        intake, partner = self._called_by(context)
        with intake.store.reading() as connection:
            number = read_case_number(request.case_number)
            found = cases.get_own(connection, number, partner)
        return case_pb2.GetCaseResponse(case=_case_message(intake, found))

    def ListCases(
        self, request: case_pb2.ListCasesRequest, context: grpc.ServicerContext
    ) -> case_pb2.ListCasesResponse:
        """Return a page of the partner's cases."""
        intake, partner = self._called_by(context)
        size = validate.page_size(request.page_size)
        listing = ("ListCases", partner)
        after = read_token(listing, request.page_token) or ""
        with intake.store.reading() as connection:
            found = cases.page(connection, partner, after, size + 1)
        return case_pb2.ListCasesResponse(
            cases=[_case_message(intake, one) for one in found[:size]],
            next_page_token=make_token(listing, found[size - 1].number) if found[size:] else "",
        )

    def ReportPosted(
        self, request: case_pb2.ReportPostedRequest, context: grpc.ServicerContext
    ) -> case_pb2.ReportPostedResponse:
        """Open a case of a picture that was posted."""
        intake, frontend = self._called_by(context)
        validate.surfaces([request.surface], intake.surfaces)
        upload_id = validate.text(
            "upload_id", request.upload_id, chars_min=1, chars_max=UPLOAD_ID_CHARS_MAX
        )
        with self._place():
            number = platform.report_posted(
                intake,
                request.image,
                opener=frontend,
                region=request.region,
                language=request.language or _LANGUAGE_DEFAULT,
                contact=request.contact,
                upload_id=upload_id,
                surface=request.surface,
            )
        return case_pb2.ReportPostedResponse(case_number=number)

    def ReportAction(
        self, request: case_pb2.ReportActionRequest, context: grpc.ServicerContext
    ) -> case_pb2.ReportActionResponse:
        """Count what became of an upload."""
        intake, frontend = self._called_by(context)
        validate.text(
            "request_id", request.request_id, chars_min=1, chars_max=validate.REQUEST_ID_CHARS_MAX
        )
        validate.surfaces([request.surface], intake.surfaces)
        action = _ACTIONS.get(request.action, StopAction.BLOCKED)
        with intake.store.changing() as head:
            entry_ids = validate.entry_ids(request.entry_ids)
            stops.add_once(head, frontend, request.request_id, entry_ids, request.surface, action)
        return case_pb2.ReportActionResponse()

    def AppealEntry(
        self, request: case_pb2.AppealEntryRequest, context: grpc.ServicerContext
    ) -> case_pb2.AppealEntryResponse:
        """Put an entry before the reviewers again."""
        intake, frontend = self._called_by(context)
        entry_id = validate.entry_id(request.entry_id)
        with self._place():
            number = platform.appeal(intake, request.image, opener=frontend, entry_id=entry_id)
        return case_pb2.AppealEntryResponse(case_number=number)

    def _called_by(self, context: grpc.ServicerContext) -> tuple[Intake, str]:
        """Return the intake and the name of the caller."""
        return self._intake, identity_of(context).name


def _case_message(intake: Intake, found: CaseRecord) -> case_pb2.Case:
    with intake.store.reading() as connection:
        pictures = cases.pictures_of(connection, found.number)
        counts = stops.of_case(connection, found.number)
        mails = outbox.of_case(connection, found.number)
    return case_pb2.Case(
        number=found.number,
        state=_STATES[state_of(found, pictures)],
        region=found.region,
        language=found.language,
        open_time=timestamp(found.opened_us),
        pictures=[_picture_message(picture) for picture in pictures],
        stops=[_stop_message(count) for count in counts],
        unsent_mail_count=sum(mail.sent_us is None and mail.attempts > 0 for mail in mails),
    )


def _picture_message(picture: PictureRecord) -> case_pb2.CasePicture:
    return case_pb2.CasePicture(
        receive_time=timestamp(picture.received_us),
        due_time=timestamp(picture.due_us),
        decide_time=None if picture.decided_us is None else timestamp(picture.decided_us),
        delete_time=None if picture.deleted_us is None else timestamp(picture.deleted_us),
        entry_id="" if picture.entry_id is None else validate.format_entry_id(picture.entry_id),
        reject_reason=picture.reason,
        appeal=picture.kind is PictureKind.APPEAL,
    )


def _stop_message(count: StopCount) -> case_pb2.StopCount:
    return case_pb2.StopCount(
        surface=count.surface,
        day=timestamp(count.day * _DAY_US),
        action=case_pb2.StopAction.Value(f"STOP_ACTION_{count.action.name}"),
        count=count.count,
    )
