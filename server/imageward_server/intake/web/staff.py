"""Signing in and out, for partners and reviewers alike."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from imageward_server.audit.row import Actor
from imageward_server.intake import audit, throttle
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.sessions import PARTNER, REVIEWER, Session
from imageward_server.intake.web.site import Site

# Where a role begins.
_HOMES = {PARTNER: "/partner", REVIEWER: "/review"}


class StaffPages:
    """The door of the consoles.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Name the pages."""
        return [
            Route("/staff", self.show_sign_in, methods=["GET"]),
            Route("/staff", self.sign_in, methods=["POST"]),
            Route("/staff/leave", self.leave, methods=["POST"]),
        ]

    def show_sign_in(self, request: Request) -> Response:
        """Ask for name and secret."""
        return self._site.page(request, "staff_sign_in.html")

    async def sign_in(self, request: Request) -> Response:
        """Begin a session of a credential, if the secret is its own."""
        fields = await self._site.own_fields(request)
        return await run_in_threadpool(self._sign_in, request, fields)

    async def leave(self, request: Request) -> Response:
        """End the session."""
        await self._site.own_fields(request)
        await run_in_threadpool(self._site.end_session, request)
        return RedirectResponse("/staff", 303)

    def _sign_in(self, request: Request, fields: dict[str, str]) -> Response:
        name, secret = fields.get("name", ""), fields.get("secret", "")
        subject = f"account {name}"
        intake = self._site.intake
        with intake.store.reading() as connection:
            throttle.require_unlocked(connection, subject, intake.now_us())
        identity = self._site.access.sign_in(name, secret)
        with intake.store.changing() as head:
            if identity is None:
                throttle.note_failure(head, subject)
            else:
                throttle.forgive(head, subject)
                audit.record(head, Actor(name, identity.role), "sign in")
        if identity is None:
            raise PageRefusal("secret_wrong", 403)
        if identity.role not in _HOMES:
            raise PageRefusal("role_has_no_pages", 403)
        with intake.store.changing() as head:
            session = Session(identity.role, name)
            return self._site.begin_session(head, request, session, _HOMES[identity.role])
