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
        return self._site.page(
            request,
            "picture.html",
            reviewer=reviewer,
            picture=picture,
            case=case,
            spoken=spoken,
            required=self._intake.settings.reviewers_required,
            reasons=[reason.value for reason in RejectReason],
            is_shown="show" in request.query_params,
        )

    def send_image(self, request: Request) -> Response:
        """Send a picture, drawn for this reviewer; the view is in the audit first."""
        reviewer = self._site.subject_of(request, REVIEWER)
        image = review.show(self._intake, request.path_params["picture"], reviewer)
        return Response(draw_for(reviewer, self._intake.hasher, image), media_type="image/jpeg")

    async def decide(self, request: Request) -> Response:
        """Take the reviewer's opinion."""
        fields = await self._site.own_fields(request)
        return await run_in_threadpool(self._decide, request, fields.get("decision", ""))

    def _decide(self, request: Request, chosen: str) -> Response:
        reviewer = self._site.subject_of(request, REVIEWER)
        if chosen != _APPROVE and chosen not in {reason.value for reason in RejectReason}:
            raise PageRefusal("no_decision")
        reason = None if chosen == _APPROVE else RejectReason(chosen)
        review.decide(self._intake, request.path_params["picture"], Decision(reviewer, reason))
        return RedirectResponse("/review", 303)
