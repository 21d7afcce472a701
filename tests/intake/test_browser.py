"""The pages in headless Chromium: a phone, the keyboard alone, and axe-core's rules.

`make browser-tests` installs Debian's chromium and chromium-driver and runs this. Pictures
of the pages are written where IMAGEWARD_SCREENSHOTS names a folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imageward_bench.hostile import FAMILIES
from imageward_server.access import Access
from imageward_server.cage.cage import Cage
from imageward_server.intake import stops
from imageward_server.intake.intake import Intake
from imageward_server.intake.process import web_server
from imageward_server.store import EntryState

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

    from conftest import People

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SECRET = "correct horse battery staple"  # noqa: S105 - of the tests alone
PHONE = (390, 844)
DESK = (1200, 900)
GRAVE = {"serious", "critical"}

pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="no chromium and chromedriver: make browser-tests"
    ),
    pytest.mark.timeout(300),
    # Selenium's own sockets are closed when its driver ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@contextlib.contextmanager
def serving(intake: Intake, access: Access) -> Iterator[str]:
    """Serve the pages of an intake on a free port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = web_server(intake, access)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def url(intake: Intake, access: Access) -> Iterator[str]:
    """Serve the pages on a free port."""
    with serving(intake, access) as served:
        yield served


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Chrome]:
    """Run Chromium, with its log of errors."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "lang=en-GB"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(DRIVER))
    driver.set_window_size(*PHONE)
    yield driver
    driver.quit()


class Visitor:
    """Someone who uses nothing but the keyboard, and looks at every page with axe-core."""

    def __init__(self, chrome: Chrome, url: str) -> None:
        self.chrome = chrome
        self.url = url
        self.problems: list[tuple[str, str]] = []

    def open(self, path: str) -> None:
        """Type an address."""
        self.chrome.get(self.url + path)

    def look(self, name: str) -> str:
        """Check the page that is shown; return its text."""
        import axe_core_python

        script = Path(axe_core_python.__file__).parent / "axe.min.js"
        # By the driver, beside the page: the page's own policy forbids every script.
        self.chrome.execute_script(script.read_text())
        found: dict[str, Any] = self.chrome.execute_async_script(
            "const done = arguments[0]; axe.run().then(done)"
        )
        self.problems += [
            (name, one["id"]) for one in found["violations"] if one["impact"] in GRAVE
        ]
        width = self.chrome.execute_script("return document.documentElement.scrollWidth")
        assert width <= self.chrome.execute_script("return window.innerWidth"), name
        if folder := os.environ.get("IMAGEWARD_SCREENSHOTS"):
            self.chrome.save_screenshot(str(Path(folder) / f"{name}.png"))
        text: str = self.chrome.find_element("tag name", "body").text
        return text

    def press(self, label: str) -> None:
        """Go to a button or link by Tab, and press Enter."""
        from selenium.webdriver.common.keys import Keys

        self.tab_to(lambda element: element.text == label)
        page = self.chrome.find_element("tag name", "html")
        self.chrome.switch_to.active_element.send_keys(Keys.ENTER)
        self._wait_for_another(page)

    def type(self, field: str, text: str) -> None:
        """Go to a field by Tab, and type."""
        self.tab_to(lambda element: element.get_attribute("id") == field)
        self.chrome.switch_to.active_element.send_keys(text)

    def tick(self, field: str) -> None:
        """Go to a box by Tab, and press the space bar."""
        self.type(field, " ")

    def choose(self, option: str) -> None:
        """Go to a group of options by Tab, to one of them by the arrows, and choose it."""
        from selenium.webdriver.common.keys import Keys

        self.tab_to(lambda element: element.get_attribute("type") == "radio")
        for _ in range(10):
            option_here = self.chrome.switch_to.active_element
            if option_here.get_attribute("id") == option:
                option_here.send_keys(" ")
                return
            option_here.send_keys(Keys.ARROW_DOWN)
        raise AssertionError("the arrows do not get there")

    def tab_to(self, is_it: Any) -> None:  # noqa: ANN401 - a function of an element
        """Press Tab until the focus is where it should be, and see that it shows."""
        from selenium.webdriver import ActionChains
        from selenium.webdriver.common.keys import Keys

        for _ in range(40):
            if is_it(self.chrome.switch_to.active_element):
                return
            ActionChains(self.chrome).send_keys(Keys.TAB).perform()
        raise AssertionError("the keyboard does not get there")

    def _wait_for_another(self, page: Any) -> None:  # noqa: ANN401 - an element
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        def is_gone(_: object) -> bool:
            try:
                page.is_enabled()
            except WebDriverException:
                return True
            return False

        WebDriverWait(self.chrome, 60).until(is_gone)


@pytest.fixture
def visitor(chrome: Chrome, url: str) -> Visitor:
    """Return someone at the keyboard."""
    return Visitor(chrome, url)


def test_the_whole_story_by_keyboard(
    visitor: Visitor, intake: Intake, people: People, picture: bytes, tmp_path: Path
) -> None:
    """Partner, person on a phone, reviewer, status, withdrawal; nothing serious for axe."""
    file, bad = tmp_path / "one.png", tmp_path / "bad.png"
    file.write_bytes(picture)
    bad.write_bytes(picture[:4000])
    link = _open_case(visitor)
    number, pin = _hand_over(visitor, link, file, bad)
    _approve(visitor)
    (banked,) = people.pictures(number)
    assert banked.entry_id is not None
    with intake.store.changing() as head:
        stops.add(head, [banked.entry_id], "INSTAGRAM", stops.StopAction.BLOCKED)
    _withdraw(visitor, number, pin)
    assert intake.store.get_entry(banked.entry_id).state is EntryState.WITHDRAWN
    assert visitor.problems == []
    _check_logs(visitor)


def test_a_picture_that_cannot_be_shown_is_rejected_by_keyboard(
    chrome: Chrome, intake: Intake, access: Access, people: People
) -> None:
    """The reviewer reads what happened, goes on to decide, and the queue is empty."""
    number, _ = people.open_case()
    people.hand_over(number, FAMILIES["isobmff 100 MP and no pixels"]())
    with contextlib.closing(Cage(cells=1, slow=1)) as cage:
        cage.start()
        with serving(dataclasses.replace(intake, hasher=cage), access) as url:
            visitor = Visitor(chrome, url)
            _open_waiting(visitor)
            visitor.press("Show the picture")
            assert "Reject it as unreadable" in visitor.look("unshown")
            visitor.press("Decide on it")
            visitor.choose("unreadable")
            visitor.press("Decide")
            assert "Nothing waits." in visitor.look("empty")
            assert visitor.problems == []
            _check_logs(visitor)


def _open_case(visitor: Visitor) -> str:
    visitor.chrome.set_window_size(*DESK)
    visitor.open("/staff")
    visitor.look("staff")
    visitor.type("name", "helpline")
    visitor.type("secret", SECRET)
    visitor.press("Sign in")
    visitor.type("contact", "sam@example.org")
    visitor.press("Open a case")
    text = visitor.look("case")
    link = re.search(r"http://127.0.0.1:8080(/u/\S+)", text)
    assert link
    visitor.press("Your cases")
    visitor.look("partner")
    visitor.press("Sign out")
    return link[1]


def _hand_over(visitor: Visitor, link: str, file: Path, bad: Path) -> tuple[str, str]:
    visitor.chrome.set_window_size(*PHONE)
    visitor.open(link)
    assert "never later than seven days" in visitor.look("link")
    visitor.press("Begin")
    visitor.look("upload")
    visitor.chrome.find_element("id", "pictures").send_keys(f"{bad}\n{file}")
    visitor.press("Hand over")
    text = visitor.look("refused")
    assert "Picture 1: it is damaged" in text
    assert "Taken and encrypted: 1." in text
    visitor.press("I have handed over everything")
    text = visitor.look("done")
    number, pin = re.search(r"(\w{5}-\w{5})\s.*?(\d{8})", text, re.DOTALL).groups()  # type: ignore[union-attr]
    visitor.open(link)
    assert "used before" in visitor.look("used")
    return number, pin


def _open_waiting(visitor: Visitor) -> None:
    """Sign in as a reviewer, and open the one picture that waits."""
    visitor.chrome.set_window_size(*DESK)
    visitor.open("/staff")
    visitor.type("name", "ana")
    visitor.type("secret", SECRET)
    visitor.press("Sign in")
    visitor.look("queue")
    (opened,) = visitor.chrome.find_elements("css selector", "td a")
    visitor.press(opened.text)


def _approve(visitor: Visitor) -> None:
    _open_waiting(visitor)
    visitor.press("Show the picture")
    visitor.look("picture")
    image = visitor.chrome.find_element("tag name", "img")
    assert int(image.get_property("naturalWidth")) > 300  # type: ignore[arg-type]
    visitor.choose("approve")
    visitor.press("Decide")
    assert "Nothing waits." in visitor.look("empty")
    visitor.press("Sign out")


def _withdraw(visitor: Visitor, number: str, pin: str) -> None:
    visitor.chrome.set_window_size(*PHONE)
    visitor.open("/")
    visitor.look("status_sign_in")
    visitor.type("number", number.lower())
    visitor.type("pin", pin)
    visitor.press("Show")
    text = visitor.look("status")
    assert "In force" in text
    assert "INSTAGRAM" in text
    visitor.tick("sure")
    visitor.press("Take it back")
    assert "You took it back" in visitor.look("withdrawn")


def _check_logs(visitor: Visitor) -> None:
    """No script and no policy failed, and no request left for another host."""
    messages = [one["message"] for one in visitor.chrome.get_log("browser")]
    # A refusal's status is told there too, and is what was wanted.
    assert [one for one in messages if "Failed to load resource" not in one] == []
    asked = re.findall(
        r'"method":"Network.requestWillBeSent".*?"url":"(https?://[^/"]+)',
        "\n".join(one["message"] for one in visitor.chrome.get_log("performance")),
    )
    assert set(asked) == {visitor.url}
