"""The pages as browsers use them, over real HTTP: links, uploads, consoles, refusals."""

from __future__ import annotations

import re
import socket
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import httpx
import numpy as np
import pytest

import imageward_server.intake.words as words_package
from imageward_server.access import Access
from imageward_server.intake import audit, cases, links, pin, stops
from imageward_server.intake.intake import Intake
from imageward_server.intake.process import web_server
from imageward_server.intake.records import CaseState
from imageward_server.intake.words import LANGUAGES, catalogue
from imageward_server.store import EntryState
from imageward_server.store.case_tables import PictureState

if TYPE_CHECKING:
    from conftest import Clock, People

SECRET = "correct horse battery staple"  # noqa: S105 - of the tests alone
PHONE = {"user-agent": "A phone", "accept-language": "en"}
Visit = Callable[..., "Browser"]


class Browser:
    """A browser without JavaScript: keeps its cookie and sends the forms it is shown."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.http = httpx.Client(base_url=url, headers=headers, follow_redirects=True, timeout=20)
        self.shown = ""

    def get(self, path: str) -> httpx.Response:
        """Open a page."""
        return self._show(self.http.get(path))

    def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form of the page that is shown."""
        return self._show(self.http.post(path, data={"token": self.token, **fields}))

    def upload(self, *images: bytes) -> httpx.Response:
        """Send pictures by the form that is shown."""
        files = [("pictures", (f"{n}.png", image, "image/png")) for n, image in enumerate(images)]
        return self._show(self.http.post("/upload", data={"token": self.token}, files=files))

    def sign_in(self, name: str, secret: str = SECRET) -> httpx.Response:
        """Sign in at the staff's door."""
        self.get("/staff")
        return self.send("/staff", name=name, secret=secret)

    @property
    def token(self) -> str:
        """The token of the form that is shown."""
        found = re.search(r'name="token" value="(\w+)"', self.shown)
        return found[1] if found else ""

    def _show(self, answer: httpx.Response) -> httpx.Response:
        self.shown = answer.text
        return answer


@pytest.fixture
def url(intake: Intake, access: Access) -> Iterator[str]:
    """Serve the pages on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = web_server(intake, access)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def visit(url: str) -> Iterator[Visit]:
    """Return a maker of browsers."""
    browsers: list[Browser] = []

    def make(**headers: str) -> Browser:
        browsers.append(Browser(url, {**PHONE, **headers}))
        return browsers[-1]

    yield make
    for browser in browsers:
        browser.http.close()


def begin(people: People, visit: Visit, language: str = "en") -> tuple[str, Browser]:
    """Open a case, and its link in a browser; return the number and the browser."""
    number, token = people.open_case(language)
    browser = visit()
    browser.get(f"/u/{token}")
    assert browser.send(f"/u/{token}").status_code == 200
    return number, browser


def test_a_person_hands_over_and_gets_number_and_pin(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """The picture waits in the quarantine, and number and PIN open the status page."""
    number, browser = begin(people, visit)
    assert "Taken and encrypted: 1." in browser.upload(picture).text
    done = browser.send("/upload/done").text
    secret = re.search(r"<code>(\d{8})</code>", done)
    assert secret
    assert number in done
    pin.check(intake, number, secret[1])
    status = visit()
    status.get("/status")
    shown = status.send("/status", number=number.lower().replace("-", " "), pin=secret[1])
    assert "A reviewer will look at it soon." in shown.text
    assert people.pictures(number)[0].state is PictureState.WAITING


def test_a_link_works_once(people: People, visit: Visit) -> None:
    """Looking changes nothing, using it does, and another browser is refused."""
    number, token = people.open_case()
    first, second = visit(), visit()
    for _ in range(2):
        assert first.get(f"/u/{token}").status_code == 200
    second.get(f"/u/{token}")
    assert first.send(f"/u/{token}").url.path == "/upload"
    refused = second.send(f"/u/{token}")
    assert (refused.status_code, "used before" in refused.text) == (410, True)
    assert people.state(number) is CaseState.OPEN


@pytest.mark.parametrize("spoil", ["guess", "expire", "revoke"])
def test_a_link_that_is_guessed_expired_or_revoked_is_refused(
    spoil: str, people: People, visit: Visit, clock: Clock, intake: Intake
) -> None:
    """Each is told by its own words, and opens nothing."""
    number, token = people.open_case()
    if spoil == "guess":
        token = "A" * len(token)
    elif spoil == "expire":
        clock.now_s += 72 * 3600
    else:
        with intake.store.changing() as head:
            links.revoke(head, number, audit.partner("helpline"))
    browser = visit()
    looked = browser.get(f"/u/{token}")
    browser.get("/status")
    used = browser.send(f"/u/{token}")
    said = {"guess": "not one of ours", "expire": "is over", "revoke": "does not work any more"}
    for answer in (looked, used):
        assert answer.status_code == (404 if spoil == "guess" else 410)
        assert said[spoil] in answer.text
    assert browser.get("/upload").status_code == 401


def test_bad_pictures_are_told_apart_and_the_link_stays_usable(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """Each by its place and its own words; the good one between them is taken."""
    number, browser = begin(people, visit)
    answer = browser.upload(b"no picture", picture, picture, picture[:5000])
    assert answer.status_code == 422
    assert re.findall(r"Picture (\d): it is (not a picture|damaged)", answer.text) == [
        ("1", "not a picture"),
        ("4", "damaged"),
    ]
    assert "Picture 3: you have handed this very picture over already" in answer.text
    assert len(people.pictures(number)) == 1
    assert list(map(len, intake.quarantine.held().values())) == [1]
    other = b"\xff" + picture[1:]
    assert browser.upload(other).status_code == 422


def test_a_blank_picture_and_a_polyglot_are_told_apart(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """Each by its own words, and the link stays usable."""
    number, browser = begin(people, visit)
    blank = cv2.imencode(".png", np.full((300, 300), 90, np.uint8))[1].tobytes()
    answer = browser.upload(blank, picture + b"<script>alert(1)</script>")
    assert answer.status_code == 422
    assert "Picture 1: it has too little detail" in answer.text
    assert "Picture 2: something else is hidden in the file" in answer.text
    assert (people.pictures(number), intake.quarantine.held()) == ([], {})
    assert browser.upload(picture).status_code == 200


def test_a_picture_of_200_mb_is_refused_and_leaves_nothing(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """It is told its bound, nothing is kept of it, and the next one is taken."""
    number, browser = begin(people, visit)
    answer = browser.upload(bytes(200_000_000))
    assert (answer.status_code, "larger than 20 MB" in answer.text) == (422, True)
    assert (people.pictures(number), intake.quarantine.held()) == ([], {})
    assert browser.upload(picture).status_code == 200


def test_a_form_over_all_bounds_is_cut_off(people: People, visit: Visit, intake: Intake) -> None:
    """More than 256 MB is not even read to its end."""
    number, browser = begin(people, visit)
    with suppress(httpx.TransportError):  # where the server closes before all is sent
        assert browser.upload(*[bytes(19_000_000)] * 15).status_code == 413
    assert (people.pictures(number), intake.quarantine.held()) == ([], {})


def test_an_upload_that_breaks_off_leaves_nothing(
    people: People, visit: Visit, intake: Intake, picture: bytes, url: str
) -> None:
    """The connection ends in the middle of a picture: neither row nor file is left."""
    number, browser = begin(people, visit)
    address = url.removeprefix("http://").partition(":")
    (cookie,) = browser.http.cookies.items()
    head = (
        f"--x\r\nContent-Disposition: form-data; name=token\r\n\r\n{browser.token}\r\n"
        "--x\r\nContent-Disposition: form-data; name=pictures; filename=a.png\r\n\r\n"
    ).encode()
    request = (
        f"POST /upload HTTP/1.1\r\nHost: x\r\nUser-Agent: A phone\r\nAccept-Language: en\r\n"
        f"Cookie: {cookie[0]}={cookie[1]}\r\nContent-Length: {len(head) + len(picture)}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    ).encode()
    with socket.create_connection((address[0], int(address[2]))) as connection:
        connection.sendall(request + head + picture[: len(picture) // 2])
        _until(lambda: bool(intake.quarantine.held()))
    _until(lambda: not intake.quarantine.held())
    _until(lambda: people.pictures(number) == [])


def _until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    passed = threading.Event()
    for _ in range(1000):
        if holds():
            return
        passed.wait(0.01)
    raise AssertionError("it did not come to hold within ten seconds")


def test_a_form_from_elsewhere_is_refused(people: People, visit: Visit, picture: bytes) -> None:
    """Without the visitor's own token neither fields nor pictures are taken."""
    number, browser = begin(people, visit)
    browser.shown = browser.shown.replace(browser.token, visit().get("/status") and "0" * 64)
    assert browser.upload(picture).status_code == 403
    assert browser.send("/upload/done").status_code == 403
    assert people.pictures(number) == []


def test_pictures_before_the_token_are_refused(people: People, visit: Visit) -> None:
    """The order of the parts cannot be used to get around the token."""
    number, browser = begin(people, visit)
    body = b'--x\r\nContent-Disposition: form-data; name="p"; filename="a"\r\n\r\nabc\r\n--x--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert browser.http.post("/upload", content=body, headers=kind).status_code == 403
    assert people.pictures(number) == []


def test_a_stolen_session_is_refused_and_ended(
    people: People, visit: Visit, picture: bytes
) -> None:
    """Its cookie from another browser opens nothing, and ends it for both."""
    number, browser = begin(people, visit)
    thief = visit(**{"user-agent": "A thief's"})
    thief.http.cookies.update(browser.http.cookies)
    assert thief.get("/upload").status_code == 401
    assert browser.upload(picture).status_code == 401
    assert people.pictures(number) == []


def test_a_reviewer_sees_decides_and_is_audited(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """The picture comes drawn anew, grey, never the bytes that were uploaded."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    browser = visit()
    assert f"Case {number}" in browser.sign_in("ana").text
    assert "<img" not in browser.get(f"/review/{waiting}").text
    assert "<img" in browser.get(f"/review/{waiting}?show=1").text
    image = browser.http.get(f"/review/{waiting}/image")
    assert image.headers["content-type"] == "image/jpeg"
    assert image.headers["cache-control"] == "no-store"
    assert picture[100:200] not in image.content
    browser.send(f"/review/{waiting}", decision="approve")
    (decided,) = people.pictures(number)
    assert decided.state is PictureState.APPROVED
    assert browser.get(f"/review/{waiting}/image").status_code == 410
    with intake.store.reading() as connection:
        actions = {(line.actor, line.action) for line in audit.of_case(connection, number)}
    assert actions >= {("ana", "view"), ("ana", "approve")}


@pytest.mark.parametrize(
    ("name", "path"),
    [("helpline", "/review"), ("ana", "/partner"), ("feed", "/review"), ("nobody", "/review")],
)
def test_who_has_not_the_role_is_refused(
    name: str, path: str, people: People, visit: Visit, picture: bytes
) -> None:
    """Neither the page, nor a picture, nor a decision."""
    number, _ = people.open_case()
    waiting = people.hand_over(number, picture)
    browser = visit()
    browser.sign_in(name)
    assert browser.get(path).status_code == 401
    if path == "/review":
        assert browser.get(f"/review/{waiting}/image").status_code == 401
        browser.get("/staff")
        assert browser.send(f"/review/{waiting}", decision="approve").status_code == 401
    assert people.pictures(number)[0].state is PictureState.WAITING


def test_wrong_secrets_lock_a_name_for_a_while(visit: Visit, clock: Clock) -> None:
    """After five even the right one is refused, and taken again a quarter of an hour later."""
    browser = visit()
    for _ in range(5):
        assert browser.sign_in("ana", "wrong").status_code == 403
    assert browser.sign_in("ana").status_code == 429
    clock.now_s += 15 * 60
    assert browser.sign_in("ana").status_code == 200


def test_wrong_pins_lock_a_case_and_unknown_numbers_tell_nothing(
    people: People, visit: Visit, intake: Intake
) -> None:
    """A wrong PIN and a number that does not exist look the same."""
    number, _ = people.open_case()
    secret = pin.give(intake, number)
    browser = visit()
    browser.get("/status")
    token_page = browser.shown
    unknown = browser.send("/status", number="00000-00000", pin=secret)
    answers = []
    for _ in range(5):
        browser.shown = token_page
        answers.append(browser.send("/status", number=number, pin="00000000"))
    assert {(one.status_code, one.text) for one in answers} == {(403, unknown.text)}
    browser.shown = token_page
    assert browser.send("/status", number=number, pin=secret).status_code == 429


def test_an_idle_reviewer_is_signed_out(visit: Visit, clock: Clock) -> None:
    """After a quarter of an hour without a page, and not before."""
    browser = visit()
    browser.sign_in("ana")
    clock.now_s += 14 * 60
    assert browser.get("/review").status_code == 200
    clock.now_s += 15 * 60
    assert browser.get("/review").status_code == 401


def test_the_person_sees_counts_and_takes_it_back(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """Times and counts of stopped uploads are shown; taking back withdraws the entry."""
    number, _ = people.open_case()
    entry_id = people.decide(people.hand_over(number, picture)).entry_id
    assert entry_id is not None
    with intake.store.changing() as head:
        for surface in ("FACEBOOK", "FACEBOOK", "MESSENGER"):
            stops.add(head, [entry_id], surface, stops.StopAction.BLOCKED)
    browser = visit()
    browser.get("/status")
    shown = browser.send("/status", number=number, pin=pin.give(intake, number)).text
    counts = re.findall(r"<td>([A-Z]+)</td><td>blocked</td><td>(\d+)</td>", shown)
    assert counts == [("FACEBOOK", "2"), ("MESSENGER", "1")]
    page = browser.shown
    assert browser.send("/status/withdraw").status_code == 400
    browser.shown = page
    assert "You took it back" in browser.send("/status/withdraw", sure="yes").text
    assert intake.store.get_entry(entry_id).state is EntryState.WITHDRAWN


def test_a_partner_opens_a_case_and_sees_only_its_own(visit: Visit, intake: Intake) -> None:
    """The link is shown once; another account's case is not there."""
    browser = visit()
    browser.sign_in("helpline")
    shown = browser.send("/partner", contact="sam@example.org", region="AU", language="fr").text
    link = re.search(r"http://127.0.0.1:8080(/u/[\w-]+)", shown)
    number = re.search(r"Case <code>([\w-]+)</code>", shown)
    assert link
    assert number
    assert link[1] not in browser.get(f"/partner/{number[1]}").text
    assert "Remettre des images" in visit().get(link[1]).text
    with intake.store.changing() as head:
        other = cases.open_case(intake, head, opener="other", region="US", language="en")
    assert browser.get(f"/partner/{other}").status_code == 404
    assert other not in browser.get("/partner").text


@pytest.mark.parametrize("path", ["/status", "/staff", "/u/none", "/nowhere", "/style.css"])
def test_every_answer_is_guarded(path: str, visit: Visit) -> None:
    """No script, no frame, no third party, nothing kept, whatever the answer is."""
    answer = visit().get(path)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "script" not in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    cookie = answer.headers.get("set-cookie", "HttpOnly; SameSite=strict")
    assert {"httponly", "samesite=strict"} <= set(cookie.lower().split("; "))
    assert "server" not in answer.headers
    assert re.findall(r"(?:src|href|action)=\"(?!/|data:,)([^\"]*)", answer.text) == []


def test_the_languages_say_the_same_things() -> None:
    """Each has the same keys, and the same values in the texts."""
    folder = Path(words_package.__file__).parent
    assert sorted(file.stem for file in folder.glob("*.toml")) == sorted(LANGUAGES)
    names = re.compile(r"\{(\w+)\}")
    spoken = [
        {key: sorted(names.findall(text)) for key, text in catalogue(language).items()}
        for language in LANGUAGES
    ]
    assert spoken[0] == spoken[1]
    assert tomllib.loads((folder / "en.toml").read_text("utf-8")) == catalogue("en")


def test_french_is_set_as_french_is() -> None:
    """A space that does not break before : ; ! and ?, and no typewriter's apostrophe."""
    wrong = re.compile(r"(?<!\u00a0)[:;!?]|'|\d \d")
    assert [key for key, text in catalogue("fr").items() if wrong.search(text)] == []


def test_a_person_reads_in_their_language_what_was_stopped(
    people: People, visit: Visit, intake: Intake, picture: bytes
) -> None:
    """What a frontend did is in French where the page is."""
    number, _ = people.open_case("fr")
    entry_id = people.decide(people.hand_over(number, picture)).entry_id
    assert entry_id is not None
    with intake.store.changing() as head:
        for action in stops.StopAction:
            stops.add(head, [entry_id], "FACEBOOK", action)
    browser = visit(**{"accept-language": "fr"})
    browser.get("/status")
    shown = browser.send("/status", number=number, pin=pin.give(intake, number)).text
    did = re.findall(r"<td>FACEBOOK</td><td>([^<]+)</td>", shown)
    assert did == ["autorisé", "bloqué", "vérifié par une personne"]
