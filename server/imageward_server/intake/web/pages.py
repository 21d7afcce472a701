"""All pages as one ASGI application."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from imageward_server.access import Access
from imageward_server.errors import CaseNotFound
from imageward_server.intake.intake import Intake
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.web.console import ConsolePages
from imageward_server.intake.web.partner import PartnerPages
from imageward_server.intake.web.person import PersonPages
from imageward_server.intake.web.security import GuardedPages
from imageward_server.intake.web.site import Site
from imageward_server.intake.web.staff import StaffPages
from imageward_server.intake.web.status_pages import StatusPages
from imageward_server.intake.web.unshown import Unshown

log = structlog.get_logger(__name__)

_STYLE = Path(__file__).parent / "style.css"


def make_pages(intake: Intake, access: Access) -> ASGIApp:
    """Build the pages of an intake, for those who may sign in."""
    site = Site(intake, access)
    console = ConsolePages(site)
    groups = (PersonPages(site), StatusPages(site), StaffPages(site), console, PartnerPages(site))
    routes = [route for group in groups for route in group.routes()]
    app = Starlette(
        routes=[*routes, Route("/style.css", _send_style), Route("/favicon.ico", _send_nothing)],
        exception_handlers=dict.fromkeys(
            (PageRefusal, CaseNotFound, HTTPException, Exception), partial(_refuse, site)
        )
        | {Unshown: partial(_tell_unshown, console)},
    )
    return GuardedPages(app, is_https=intake.settings.is_https)


def _send_style(request: Request) -> Response:
    del request
    return FileResponse(_STYLE, media_type="text/css")


def _send_nothing(request: Request) -> Response:
    """Answer what browsers ask for unasked."""
    del request
    return Response(status_code=204)


def _tell_unshown(console: ConsolePages, request: Request, error: Exception) -> Response:
    assert isinstance(error, Unshown), "Starlette hands over what a handler is named for"
    return console.tell_unshown(request, error)


def _refuse(site: Site, request: Request, error: Exception) -> Response:
    match error:
        case PageRefusal():
            return site.refusal(request, error)
        case CaseNotFound():
            return site.refusal(request, PageRefusal("unknown", 404))
        case HTTPException():
            return site.refusal(request, PageRefusal("unknown", error.status_code))
        case _:
            # The path is not logged: it may hold a link.
            log.error("page failed", error=type(error).__name__, exc_info=error)
            return site.refusal(request, PageRefusal("internal", 500))
