"""What all pages share: templates, the visitor, sessions, and how a refusal looks."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from imageward_server.access import Access, Identity, Role
from imageward_server.intake import sessions
from imageward_server.intake.intake import Intake
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.sessions import STAFF, Session
from imageward_server.intake.web.forms import read_fields
from imageward_server.intake.web.security import Visitors, browser_of
from imageward_server.intake.words import LANGUAGES, say
from imageward_server.store.head import Head

_US: Final = 1_000_000
# A narrow column breaks it between day and hour, and nowhere else.
_TIME: Final = "%Y-\u2060%m-\u2060%d %H:%M\u00a0UTC"
_DAY: Final = "%Y-\u2060%m-\u2060%d"
TOKEN_FIELD: Final = "token"  # noqa: S105 - the field's name


class Site:
    """The intake as pages see it.

    Args:
        intake: what the pages are of.
        access: who may sign in.
    """

    def __init__(self, intake: Intake, access: Access) -> None:
        self.intake = intake
        self.access = access
        self.visitors = Visitors(intake.key_for("visitors"), is_https=intake.settings.is_https)
        self._templates = Environment(
            loader=PackageLoader("imageward_server.intake.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["time"] = partial(_write_time, form=_TIME)
        self._templates.filters["day"] = partial(_write_time, form=_DAY)

    def page(
        self,
        request: Request,
        template: str,
        *,
        language: str = "en",
        status: int = 200,
        cookie: str | None = None,
        **values: object,
    ) -> Response:
        """Write a page, with a form token for this visitor.

        Args:
            request: what is answered.
            template: file in `templates`.
            language: of the words.
            status: of HTTP.
            cookie: the visitor's from now on, if it changes.
            values: what the template shows.
        """
        cookie = cookie or self.visitors.cookie_of(request)
        written = self._templates.get_template(template).render(
            language=language,
            t=lambda key, **filled: say(language, key, **filled),
            form_token=self.visitors.form_token(cookie),
            **values,
        )
        response = HTMLResponse(written, status)
        self.visitors.set_cookie(response, cookie)
        return response

    def refusal(self, request: Request, refusal: PageRefusal) -> Response:
        """Write the page of a refusal."""
        language = language_of(request)
        return self.page(
            request,
            "refusal.html",
            language=language,
            status=refusal.status,
            text=say(language, f"refused_{refusal.key}", **refusal.values),
            key=refusal.key,
        )

    async def own_fields(self, request: Request) -> dict[str, str]:
        """Read a small form that this visitor was shown.

        Raises:
            PageRefusal: it cannot be read, or was made elsewhere.
        """
        fields = await read_fields(request)
        self.visitors.require_own_form(request, fields.get(TOKEN_FIELD, ""))
        return fields

    def subject_of(self, request: Request, role: str) -> str:
        """Return whose session of a role the visitor has.

        Raises:
            PageRefusal: none, or it has ended.
        """
        found = sessions.find(self.intake, self.visitors.cookie_of(request), browser_of(request))
        if found is None or found.role != role or not self._may_stay(found):
            raise PageRefusal(f"signed_out_{role}", 401)
        return found.subject

    def _may_stay(self, session: Session) -> bool:
        """Tell whether whoever has signed in may still: a credential can be revoked."""
        if session.role not in STAFF:
            return True
        return self.access.has(Identity(session.subject, Role(session.role)))

    def begin_session(self, head: Head, request: Request, session: Session, to: str) -> Response:
        """Begin a session under a new cookie, and send the visitor on."""
        sessions.end(head, self.visitors.cookie_of(request))
        response = RedirectResponse(to, 303)
        cookie = sessions.begin(head, session, browser_of(request))
        self.visitors.set_cookie(response, cookie)
        return response

    def end_session(self, request: Request) -> None:
        """End the visitor's session."""
        with self.intake.store.changing() as head:
            sessions.end(head, self.visitors.cookie_of(request))


def language_of(request: Request) -> str:
    """Choose a language by what the browser prefers; English if it is none of ours."""
    for part in request.headers.get("accept-language", "").split(","):
        wanted = part.partition(";")[0].strip().partition("-")[0].lower()
        if wanted in LANGUAGES:
            return wanted
    return LANGUAGES[0]


def _write_time(time_us: int | None, form: str) -> str:
    if time_us is None:
        return ""
    return datetime.fromtimestamp(time_us / _US, UTC).strftime(form)
