"""The intake's whole story on loopback: a case, a picture, a decision, a block, no trace.

A mail server, the gRPC server and the intake run as processes of their own; the pages are
used as a browser without JavaScript uses them. What comes out otherwise than it should
ends the demo.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import httpx
from rich.console import Console

from imageward_bench import photographs
from imageward_bench.edits import decode
from imageward_bench.server_process import ServerProcess
from imageward_client import Client, Verdict

SURFACES = ("FACEBOOK", "INSTAGRAM", "MESSENGER")
WAIT_S = 60.0
STOP_S = 30.0
WINDOW_BYTES = 24


class DemoFailed(Exception):
    """Something came out otherwise than it should."""


def run(console: Console) -> None:
    """Tell the story.

    Raises:
        DemoFailed: a step came out otherwise than it should.
    """
    with tempfile.TemporaryDirectory(prefix="imageward-case-") as folder, ExitStack() as stack:
        place = Path(folder)
        port, mail_port = _free_port(), _free_port()
        secrets = _configure(place, port, mail_port)
        stack.enter_context(_process(place, "aiosmtpd", "-n", "-l", f"localhost:{mail_port}"))
        intake_file = str(place / "intake.toml")
        flags = ("--config", str(place / "server.toml"), "--intake-config", intake_file)
        server = ServerProcess(place / "data", flags=flags)
        stack.enter_context(server)
        token = f"feed.{secrets['feed']}"
        client = stack.enter_context(Client(server.target, timeout_s=WAIT_S, token=token))
        serve = ("intake", "serve", "--data-dir", str(place / "data"), *flags)
        stack.enter_context(_process(place, "imageward_server", *serve))
        stack.callback(lambda: console.print((place / "aiosmtpd.log").read_text(), markup=False))
        _tell(console, client, place, f"http://127.0.0.1:{port}", secrets)


class Browser:
    """Keeps its cookie, and sends the forms it is shown."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, follow_redirects=True, timeout=WAIT_S)
        self.shown = ""

    def get(self, path: str) -> str:
        """Open a page."""
        return self._show(self._http.get(path))

    def send(self, path: str, **fields: str) -> str:
        """Send a form of the page that is shown."""
        return self._show(self._http.post(path, data={"token": self._token(), **fields}))

    def upload(self, image: bytes) -> str:
        """Hand over a picture by the form that is shown."""
        files = {"pictures": ("picture.png", image, "image/png")}
        return self._show(self._http.post("/upload", data={"token": self._token()}, files=files))

    def _token(self) -> str:
        return _find(r'name="token" value="(\w+)"', self.shown)

    def _show(self, answer: httpx.Response) -> str:
        if answer.is_error:
            raise DemoFailed(f"a page answered {answer.status_code}")
        self.shown = answer.text
        return answer.text


def _tell(console: Console, client: Client, place: Path, url: str, secrets: dict[str, str]) -> None:
    image = photographs.read("coffee.png")
    altered = _alter(image)
    partner, person, reviewer = Browser(url), Browser(url), Browser(url)
    _until(lambda: _answers(url), "the pages answer")
    _require_verdicts(client, altered, Verdict.ALLOW)
    console.print("1. An altered, cropped copy is checked: ALLOW on every surface.")

    _sign_in(partner, "helpline", secrets)
    opened = partner.send("/partner", contact="sam@example.org", region="UK", language="en")
    link = _find(r"http://[^/]+(/u/[\w-]+)", opened)
    console.print("2. The partner opens a case and gets a one-time link.")

    person.get(link)
    person.send(link)
    person.upload(image)
    done = person.send("/upload/done")
    number, pin = _find(r"<code>(\w{5}-\w{5})<", done), _find(r"<code>(\d{8})<", done)
    _require_no_trace(image, place)
    console.print(f"3. The person hands over a picture; case {number}. No byte of it is in clear.")

    queue = _sign_in(reviewer, "ana", secrets)
    path = _find(r'href="(/review/\w+)"', queue)
    reviewer.get(path)
    reviewer.send(path, decision="approve")
    approved_s = time.monotonic()
    _until(lambda: _verdicts(client, altered) == {Verdict.BLOCK}, "the copy is blocked")
    live_s = time.monotonic() - approved_s
    console.print(f"4. The reviewer approves: {live_s:.2f} s later the copy is BLOCK on all three.")

    _until(lambda: (place / "aiosmtpd.log").read_text().count("Subject: ") > 1, "mail comes")
    _require_no_trace(image, place)
    console.print("5. Two mails are sent, and the picture is gone: no byte of it in any file.")

    person.get("/status")
    person.send("/status", number=number, pin=pin)
    person.send("/status/withdraw", sure="yes")
    _until(lambda: _verdicts(client, altered) == {Verdict.ALLOW}, "the copy is allowed")
    console.print("6. The person takes it back: ALLOW on every surface. The mails:\n")


def _configure(place: Path, port: int, mail_port: int) -> dict[str, str]:
    """Write the files and the key with the shipped commands; return the secrets by name."""
    lines = [
        f'listen = "127.0.0.1:{port}"',
        f'public_url = "http://127.0.0.1:{port}"',
        f'master_key_file = "{place / "master.key"}"',
        f"smtp_port = {mail_port}",
        'smtp_host = "localhost"',
        'smtp_security = "none"',
        "tick_s = 0.5",
    ]
    _command("intake", "new-key", str(place / "master.key"))
    (place / "intake.toml").write_text("\n".join(lines))
    secrets, tables = {}, ""
    for name, role in (("helpline", "partner"), ("ana", "reviewer"), ("feed", "frontend")):
        made = _command("credentials", "new", name, "--role", role)
        secrets[name] = made.stderr.split()[-1].partition(".")[2]
        tables += made.stdout
    (place / "server.toml").write_text(tables)
    return secrets


def _command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "imageward_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def _process(place: Path, module: str, *arguments: str) -> ExitStack:
    """Start a module as a process that ends with the context; its words go to a file."""
    stack = ExitStack()
    log = stack.enter_context((place / f"{module}.log").open("w"))
    command = [sys.executable, "-u", "-m", module, *arguments]
    process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop() -> None:
        process.terminate()
        process.wait(STOP_S)

    stack.callback(stop)
    return stack


def _sign_in(browser: Browser, name: str, secrets: dict[str, str]) -> str:
    browser.get("/staff")
    return browser.send("/staff", name=name, secret=secrets[name])


def _alter(image: bytes) -> bytes:
    """Crop a picture to its middle, make it smaller, and encode it anew."""
    pixels = decode(image)
    height, width = pixels.shape[:2]
    middle = pixels[height // 8 : -height // 8, width // 8 : -width // 8]
    small = cv2.resize(middle, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def _verdicts(client: Client, image: bytes) -> set[Verdict]:
    return {client.check_image(image, surface=name).verdict for name in SURFACES}


def _require_verdicts(client: Client, image: bytes, verdict: Verdict) -> None:
    if _verdicts(client, image) != {verdict}:
        raise DemoFailed(f"a check did not say {verdict.name}")


def _require_no_trace(image: bytes, place: Path) -> None:
    windows = {image[at : at + WINDOW_BYTES] for at in range(0, len(image), WINDOW_BYTES)}
    for file in (file for file in place.rglob("*") if file.is_file()):
        held = file.read_bytes()
        if any(held[at : at + WINDOW_BYTES] in windows for at in range(len(held))):
            raise DemoFailed(f"a part of the picture is in {file.name}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/status").is_success
    except httpx.TransportError:
        return False


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise DemoFailed(f"waited {WAIT_S:g} s until {what}")
        time.sleep(0.02)


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if not found:
        raise DemoFailed(f"a page does not show {pattern}")
    return found[1]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
