"""The reviewer's console: the queue, one picture, and the decision."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from imageward_server.intake import audit, cases, outbox, review
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.review import Decision, RejectReason
from imageward_server.intake.sessions import REVIEWER
from imageward_server.intake.view import draw_for
from imageward_server.intake.web.site import Site
from imageward_server.intake.web.unshown import Unshown, drawing
from imageward_server.store.case_tables import PictureState

_APPROVE = "approve"


class ConsolePages:
    """The pages of reviewers.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = site.intake

    def routes(self) -> list[Route]:
        """Name the pages."""
        return [
            Route("/review", self.show_queue, methods=["GET"]),
            Route("/review/{picture}", self.show_picture, methods=["GET"]),
            Route("/review/{picture}", self.decide, methods=["POST"]),
            Route("/review/{picture}/image", self.send_image, methods=["GET"]),
        ]

    def show_queue(self, request: Request) -> Response:
        """Show what waits, the oldest deadline first, and mail that does not go out."""
        reviewer = self._site.subject_of(request, REVIEWER)
        with self._intake.store.changing() as head:
            audit.record(head, audit.reviewer(reviewer), "open queue")
            waiting = review.queue(head.connection)
            unsent = outbox.unsent(head.connection)
        return self._site.page(
            request,
            "queue.html",
            reviewer=reviewer,
            waiting=waiting,
            unsent=unsent,
        )

    def show_picture(self, request: Request) -> Response:
        """Show what is known of a picture; the picture itself when it is asked for."""
        reviewer = self._site.subject_of(request, REVIEWER)
        with self._intake.store.changing() as head:
            picture = review.get(head.connection, request.path_params["picture"])
            audit.record(
                head,
                audit.reviewer(reviewer),
                "open picture",
                case_number=picture.case_number,
                picture_id=picture.id,
            )
            case = cases.get(head.connection, picture.case_number)
            spoken = review.reviewers_of(head.connection, picture.id)
        is_shown = "show" in request.query_params
        if is_shown and picture.state is PictureState.WAITING:
            # A page around an image that cannot be drawn would tell nothing of it.
            with drawing(picture.id):
                self._intake.hasher.view(
                    self._intake.quarantine.read(picture.case_number, picture.id)
                )
        return self._site.page(
            request,
            "picture.html",
            reviewer=reviewer,
            picture=picture,
            case=case,
            spoken=spoken,
            required=self._intake.settings.reviewers_required,
            reasons=[reason.value for reason in RejectReason],
            is_shown=is_shown,
        )

    def send_image(self, request: Request) -> Response:
        """Send a picture, drawn for this reviewer; the view is in the audit first."""
        reviewer = self._site.subject_of(request, REVIEWER)
        picture_id = request.path_params["picture"]
        image = review.show(self._intake, picture_id, reviewer)
        with drawing(picture_id):
            drawn = draw_for(reviewer, self._intake.hasher, image)
        return Response(drawn, media_type="image/jpeg")

    def tell_unshown(self, request: Request, unshown: Unshown) -> Response:
        """Tell the reviewer why a picture could not be drawn, and what to do; audited as a view."""
        reviewer = self._site.subject_of(request, REVIEWER)
        with self._intake.store.changing() as head:
            picture = review.get(head.connection, unshown.picture_id)
            audit.record(
                head,
                audit.reviewer(reviewer),
                f"view failed {unshown.why.value}",
                case_number=picture.case_number,
                picture_id=picture.id,
            )
            case = cases.get(head.connection, picture.case_number)
        return self._site.page(
            request,
            "unshown.html",
            status=unshown.status,
            reviewer=reviewer,
            picture=picture,
            case=case,
            why=unshown.why.value,
        )

    async def decide(self, request: Request) -> Response:
        """Take the reviewer's opinion."""
        fields = await self._site.own_fields(request)
        return await run_in_threadpool(self._decide, request, fields.get("decision", ""))

    def _decide(self, request: Request, chosen: str) -> Response:
        reviewer = self._site.subject_of(request, REVIEWER)
        if chosen != _APPROVE and chosen not in {reason.value for reason in RejectReason}:
            raise PageRefusal("no_decision")
        reason = None if chosen == _APPROVE else RejectReason(chosen)
        picture_id = request.path_params["picture"]
        # What is banked is decoded once more.
        with drawing(picture_id):
            review.decide(self._intake, picture_id, Decision(reviewer, reason))
        return RedirectResponse("/review", 303)
