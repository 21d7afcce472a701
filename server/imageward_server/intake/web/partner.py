"""The partner's pages: open a case, hand on its link, see how its cases stand. No pictures."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imageward_server.errors import CaseNotFound, InvalidRequest, PermissionDenied
from imageward_server.intake import audit, cases, links, outbox, stops
from imageward_server.intake.records import state_of
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.sessions import PARTNER
from imageward_server.intake.web.site import Site
from imageward_server.intake.words import LANGUAGES

_CASES_MAX = 200
_DAY_US = 24 * 3600 * 1_000_000


class PartnerPages:
    """The pages of partner organisations.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = site.intake

    def routes(self) -> list[Route]:
        """Name the pages."""
        return [
            Route("/partner", self.show_cases, methods=["GET"]),
            Route("/partner", self.open_case, methods=["POST"]),
            Route("/partner/{number}", self.show_case, methods=["GET"]),
            Route("/partner/{number}/renew", self.renew_link, methods=["POST"]),
            Route("/partner/{number}/revoke", self.revoke_link, methods=["POST"]),
        ]

    def show_cases(self, request: Request) -> Response:
        """Show the partner's cases, and the form for another."""
        partner = self._site.subject_of(request, PARTNER)
        with self._intake.store.reading() as connection:
            found = cases.page(connection, partner, "", _CASES_MAX)
            states = [
                state_of(case, cases.pictures_of(connection, case.number)).value for case in found
            ]
        return self._site.page(
            request,
            "partner.html",
            partner=partner,
            cases=list(zip(found, states, strict=True)),
            regions=self._intake.settings.regions,
            languages=LANGUAGES,
        )

    async def open_case(self, request: Request) -> Response:
        """Open a case, and show its link this once."""
        fields = await self._site.own_fields(request)
        return await run_in_threadpool(self._open_case, request, fields)

    def show_case(self, request: Request) -> Response:
        """Show one of the partner's cases."""
        number = self._own_number(request)
        return self._case_page(request, number)

    async def renew_link(self, request: Request) -> Response:
        """Make another link, and show it this once."""
        await self._site.own_fields(request)
        return await run_in_threadpool(self._renew_link, request)

    async def revoke_link(self, request: Request) -> Response:
        """Make the link useless."""
        await self._site.own_fields(request)
        return await run_in_threadpool(self._revoke_link, request)

    def _open_case(self, request: Request, fields: dict[str, str]) -> Response:
        partner = self._site.subject_of(request, PARTNER)
        contact = fields.get("contact", "").strip()
        if not contact:
            raise PageRefusal("case_field", 422)
        try:
            with self._intake.store.changing() as head:
                number = cases.open_case(
                    self._intake,
                    head,
                    opener=partner,
                    region=fields.get("region", ""),
                    language=fields.get("language", ""),
                    contact=contact,
                )
                link, expires_us = links.issue(self._intake, head, number, audit.partner(partner))
        except InvalidRequest as error:
            raise PageRefusal("case_field", 422) from error
        return self._case_page(request, number, link, expires_us)

    def _renew_link(self, request: Request) -> Response:
        number = self._own_number(request)
        with self._intake.store.changing() as head:
            partner = cases.get(head.connection, number).opener
            link, expires_us = links.issue(self._intake, head, number, audit.partner(partner))
        return self._case_page(request, number, link, expires_us)

    def _revoke_link(self, request: Request) -> Response:
        number = self._own_number(request)
        with self._intake.store.changing() as head:
            partner = cases.get(head.connection, number).opener
            links.revoke(head, number, audit.partner(partner))
        return self._case_page(request, number)

    def _own_number(self, request: Request) -> str:
        """Return the case that a page is of.

        Raises:
            PageRefusal: there is none, or another partner opened it.
        """
        partner = self._site.subject_of(request, PARTNER)
        try:
            with self._intake.store.reading() as connection:
                number = request.path_params["number"]
                return cases.get_own(connection, number, partner).number
        except (CaseNotFound, PermissionDenied) as error:
            raise PageRefusal("case_unknown", 404) from error

    def _case_page(
        self, request: Request, number: str, link: str = "", expires_us: int | None = None
    ) -> Response:
        with self._intake.store.reading() as connection:
            case = cases.get(connection, number)
            pictures = cases.pictures_of(connection, number)
            counts = stops.of_case(connection, number)
            mails = outbox.of_case(connection, number)
        return self._site.page(
            request,
            "case.html",
            case=case,
            state=state_of(case, pictures).value,
            pictures=pictures,
            stops=[(one.day * _DAY_US, one) for one in counts],
            mails=mails,
            link=link,
            expires_us=expires_us,
        )
