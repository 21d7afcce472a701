"""The person's pages: the one-time link, handing over, and the case number with its PIN.

The first view of a link changes nothing, since programs that preview links open them too;
the button uses it up and gives the browser a session.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imageward_index.errors import (
    ImageTooLarge,
    InvalidInput,
    LowQuality,
    UndecodableImage,
    UnsupportedFormat,
)
from imageward_server.errors import (
    CaseWithdrawn,
    DuplicatePicture,
    PolyglotPicture,
    TooManyPictures,
)
from imageward_server.intake import cases, links, pin, sessions
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import REQUEST_PICTURES_MAX
from imageward_server.intake.reception import Arrival
from imageward_server.intake.refusals import PageRefusal
from imageward_server.intake.sessions import UPLOADER, Session
from imageward_server.intake.web.forms import Part, read_parts
from imageward_server.intake.web.site import TOKEN_FIELD, Site

# What a person is told about a picture that cannot be taken: the key of the words.
_WORDS: dict[type[InvalidInput], str] = {
    ImageTooLarge: "picture_too_large",
    UnsupportedFormat: "picture_unsupported",
    UndecodableImage: "picture_undecodable",
    LowQuality: "picture_blank",
    DuplicatePicture: "picture_duplicate",
    PolyglotPicture: "picture_polyglot",
    TooManyPictures: "pictures_full",
    CaseWithdrawn: "case_withdrawn",
}


@dataclass
class Handover:
    """What became of the pictures of one form.

    Attributes:
        taken: how many were.
        refused: position in the form, from 1, and the key of the words, of each other one.
    """

    taken: int = 0
    refused: list[tuple[int, str]] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """How many pictures have come to an end."""
        return self.taken + len(self.refused)


class PersonPages:
    """The pages behind a one-time link.

    Args:
        site: what all pages share.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._intake = site.intake

    def routes(self) -> list[Route]:
        """Name the pages."""
        return [
            Route(f"{links.PATH}{{link}}", self.show_link, methods=["GET"]),
            Route(f"{links.PATH}{{link}}", self.use_link, methods=["POST"]),
            Route("/upload", self.show_upload, methods=["GET"]),
            Route("/upload", self.take_pictures, methods=["POST"]),
            Route("/upload/done", self.finish, methods=["POST"]),
        ]

    def show_link(self, request: Request) -> Response:
        """Tell what happens to a picture, before anything happens."""
        with self._intake.store.reading() as connection:
            number = links.check(connection, request.path_params["link"], self._intake.now_us())
            language = cases.get(connection, number).language
        return self._site.page(request, "link.html", language=language, path=request.url.path)

    async def use_link(self, request: Request) -> Response:
        """Use the link up, and begin the person's session."""
        await self._site.own_fields(request)
        return await run_in_threadpool(self._use_link, request)

    def show_upload(self, request: Request) -> Response:
        """Show the form for pictures."""
        return self._upload_page(request, self._site.subject_of(request, UPLOADER), Handover())

    async def take_pictures(self, request: Request) -> Response:
        """Take each picture of the form, or say why not."""
        number = await run_in_threadpool(self._site.subject_of, request, UPLOADER)
        receiver = _Receiver(self._site, request, number)
        try:
            async for part in read_parts(request):
                if receiver.is_skipping and not part.ended:
                    part.data.clear()  # not worth a thread: it may be hundreds of megabytes
                else:
                    await run_in_threadpool(receiver.take, part)
        finally:
            await run_in_threadpool(receiver.abandon)
        return await run_in_threadpool(self._upload_page, request, number, receiver.handover)

    async def finish(self, request: Request) -> Response:
        """Give the case number and its PIN, and end the session."""
        await self._site.own_fields(request)
        return await run_in_threadpool(self._finish, request)

    def _use_link(self, request: Request) -> Response:
        with self._intake.store.changing() as head:
            number = links.use(head, request.path_params["link"])
            sessions.end_all(head, Session(UPLOADER, number))
            return self._site.begin_session(head, request, Session(UPLOADER, number), "/upload")

    def _upload_page(self, request: Request, number: str, handover: Handover) -> Response:
        with self._intake.store.reading() as connection:
            language = cases.get(connection, number).language
            pictures = cases.pictures_of(connection, number)
        return self._site.page(
            request,
            "upload.html",
            language=language,
            status=422 if handover.refused else 200,
            handover=handover,
            picture_count=len(pictures),
            at_once=REQUEST_PICTURES_MAX,
        )

    def _finish(self, request: Request) -> Response:
        number = self._site.subject_of(request, UPLOADER)
        with self._intake.store.reading() as connection:
            language = cases.get(connection, number).language
            if not cases.pictures_of(connection, number):
                raise PageRefusal("nothing_handed_over")
        secret = pin.give(self._intake, number)
        self._site.end_session(request)
        return self._site.page(request, "done.html", language=language, number=number, pin=secret)


class _Receiver:
    """Takes the parts of one form as they stream, one picture at a time."""

    def __init__(self, site: Site, request: Request, number: str) -> None:
        self._site = site
        self._request = request
        self._number = number
        self._is_own_form = False
        self._arrival: Arrival | None = None
        self.is_skipping = False
        self.handover = Handover()

    def take(self, part: Part) -> None:
        """Take what came of a part.

        Raises:
            PageRefusal: the form is not one that this visitor was shown.
        """
        if part.has_file:
            if not self._is_own_form:  # the token stands before the pictures
                raise PageRefusal("form_stale", 403)
            self._take_picture(part)
            part.data.clear()
        elif part.ended and part.name == TOKEN_FIELD:
            self._site.visitors.require_own_form(
                self._request, part.data.decode("utf-8", "replace")
            )
            self._is_own_form = True

    def abandon(self) -> None:
        """Forget the picture that did not come whole."""
        if self._arrival is not None:
            self._arrival.__exit__(None, None, None)
            self._arrival = None

    def _take_picture(self, part: Part) -> None:
        try:
            if not self.is_skipping:
                self._write(part)
        except InvalidInput as error:
            self.abandon()
            self.is_skipping = True
            key = next(_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS)
            self.handover.refused.append((self.handover.seen + 1, key))
        if part.ended:
            self.is_skipping = False

    def _write(self, part: Part) -> None:
        if self._arrival is None:
            if self.handover.seen >= REQUEST_PICTURES_MAX:
                raise TooManyPictures("more pictures than one form may have")
            self._arrival = Arrival(self._intake, self._number)
        self._arrival.write(bytes(part.data))
        if part.ended:
            self._arrival.finish()
            self.abandon()
            self.handover.taken += 1

    @property
    def _intake(self) -> Intake:
        return self._site.intake
