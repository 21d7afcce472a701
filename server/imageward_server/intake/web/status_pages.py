"""How a case stands, for whoever has its number and PIN; and taking it back."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from imageward_server.intake import cases, pin, stops, withdrawal
from imageward_server.intake.credentials import read_case_number
from imageward_server.intake.records import state_of
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.sessions import STATUS, Session
from imageward_server.intake.web.site import Site, language_of
from imageward_server.store.case_tables import PictureKind

_DAY_US = 24 * 3600 * 1_000_000


class StatusPages:
    """The pages behind a case number and its PIN.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = site.intake

    def routes(self) -> list[Route]:
        """Name the pages."""
        return [
            Route("/", self.show_home, methods=["GET"]),
            Route("/status", self.show_sign_in, methods=["GET"]),
            Route("/status", self.sign_in, methods=["POST"]),
            Route("/status/case", self.show_case, methods=["GET"]),
            Route("/status/withdraw", self.withdraw, methods=["POST"]),
            Route("/status/leave", self.leave, methods=["POST"]),
        ]

    def show_home(self, request: Request) -> Response:
        """Send a visitor without a link to the one page for everybody."""
        del request
        return RedirectResponse("/status", 303)

    def show_sign_in(self, request: Request) -> Response:
        """Ask for case number and PIN."""
        return self._site.page(request, "status_sign_in.html", language=language_of(request))

    async def sign_in(self, request: Request) -> Response:
        """Begin a session of a case, if the PIN is its own."""
        fields = await self._site.own_fields(request)
        return await run_in_threadpool(self._sign_in, request, fields)

    def show_case(self, request: Request) -> Response:
        """Show how a case stands: times and counts."""
        number = self._site.subject_of(request, STATUS)
        with self._intake.store.reading() as connection:
            case = cases.get(connection, number)
            pictures = cases.pictures_of(connection, number)
            counts = stops.of_case(connection, number)
        shown = [one for one in pictures if one.kind is not PictureKind.APPEAL]
        return self._site.page(
            request,
            "status.html",
            language=case.language,
            case=case,
            state=state_of(case, pictures).value,
            pictures=shown,
            stops=[(one.day * _DAY_US, one) for one in counts],
        )

    async def withdraw(self, request: Request) -> Response:
        """Take the case back, if the box is ticked."""
        fields = await self._site.own_fields(request)
        if fields.get("sure") != "yes":
            raise PageRefusal("not_sure")
        return await run_in_threadpool(self._withdraw, request)

    async def leave(self, request: Request) -> Response:
        """End the session."""
        await self._site.own_fields(request)
        await run_in_threadpool(self._site.end_session, request)
        return RedirectResponse("/status", 303)

    def _sign_in(self, request: Request, fields: dict[str, str]) -> Response:
        number = read_case_number(fields.get("number", ""))
        pin.check(self._intake, number, "".join(fields.get("pin", "").split()))
        with self._intake.store.changing() as head:
            session = Session(STATUS, number)
            return self._site.begin_session(head, request, session, "/status/case")

    def _withdraw(self, request: Request) -> Response:
        withdrawal.withdraw(self._intake, self._site.subject_of(request, STATUS))
        return RedirectResponse("/status/case", 303)
