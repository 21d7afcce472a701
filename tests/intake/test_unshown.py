"""What a reviewer is told of a picture that cannot be drawn, over real HTTP and a real cage."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import httpx
import pytest

from imageward_bench.hostile import FAMILIES
from imageward_server.access import Access
from imageward_server.cage.cage import Cage
from imageward_server.intake import audit
from imageward_server.intake.intake import Intake
from imageward_server.intake.process import web_server
from imageward_server.intake.records import CaseState
from imageward_server.store.case_tables import PictureState

if TYPE_CHECKING:
    from conftest import People

SECRET = "correct horse battery staple"  # noqa: S105 - of the tests alone
PATIENCE_S = 60
# Of 1.7 kB and 100 million pixels: without a cage it is decoded, in one it is too costly.
COSTLY = "isobmff 100 MP and no pixels"


@pytest.fixture
def cage() -> Iterator[Cage]:
    """Run a cage of one cell."""
    with closing(Cage(cells=1, slow=1)) as running:
        running.start()
        yield running


@pytest.fixture
def reviewer(intake: Intake, access: Access, cage: Cage) -> Iterator[httpx.Client]:
    """Serve the pages of an intake that decodes in the cage, to a reviewer who is signed in."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = web_server(dataclasses.replace(intake, hasher=cage), access)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, follow_redirects=True, timeout=PATIENCE_S) as http:
        fields = {"token": token_of(http.get("/staff")), "name": "ana", "secret": SECRET}
        assert http.post("/staff", data=fields).status_code == 200
        yield http
    server.should_exit = True
    thread.join()
    listener.close()


def token_of(page: httpx.Response) -> str:
    """Return the token of the form that a page shows."""
    found = re.search(r'name="token" value="(\w+)"', page.text)
    assert found
    return found[1]


def actions(intake: Intake, number: str) -> list[str]:
    """Return what reviewers did in a case, as the audit has it."""
    with intake.store.reading() as connection:
        return [row.action for row in audit.of_case(connection, number) if row.actor == "ana"]


def decide(reviewer: httpx.Client, picture_id: str, decision: str) -> httpx.Response:
    """Decide by the form of the picture's page."""
    path = f"/review/{picture_id}"
    fields = {"token": token_of(reviewer.get(path)), "decision": decision}
    return reviewer.post(path, data=fields)


def test_a_costly_picture_is_told_and_rejected_as_unreadable(
    people: People, intake: Intake, reviewer: httpx.Client
) -> None:
    """Its page, its image and its approval say so by 422; rejecting it deletes the file."""
    number, _ = people.open_case()
    picture_id = people.hand_over(number, FAMILIES[COSTLY]())
    path = f"/review/{picture_id}"
    page = reviewer.get(f"{path}?show=1")
    image = reviewer.get(f"{path}/image")
    approved = decide(reviewer, picture_id, "approve")
    for answer in (page, image, approved):
        assert answer.status_code == 422
        assert "took longer than any picture may take" in answer.text
        assert f"<code>{number}</code>" in answer.text
        assert "Reject it as unreadable" in answer.text
        assert "<img" not in answer.text
    expected = ["open picture", "view failed costly", "view", "view failed costly"]
    assert expected == actions(intake, number)[:4]
    assert people.pictures(number)[0].state is PictureState.WAITING
    assert decide(reviewer, picture_id, "unreadable").status_code == 200
    assert people.state(number) is CaseState.REJECTED
    assert intake.quarantine.held() == {}


def test_a_picture_that_ends_its_cell_is_told(
    people: People, reviewer: httpx.Client, cage: Cage, photograph: Callable[[str], bytes]
) -> None:
    """The cells die over it, the page says so, and the next one is shown."""
    number, _ = people.open_case()
    picture_id = people.hand_over(number, photograph("rocket.jpg"))
    cells = cage.pool.idle_pids
    for cell in cells:
        os.kill(cell, signal.SIGKILL)
    answers = [reviewer.get(f"/review/{picture_id}?show=1") for _ in range(len(cells) + 1)]
    assert answers[0].status_code == 422
    assert "it ended the sandbox that opened it" in answers[0].text
    assert answers[-1].status_code == 200
    assert "<img" in answers[-1].text


def test_a_cage_without_room_is_told_as_the_moments_fault(
    people: People, reviewer: httpx.Client, cage: Cage, photograph: Callable[[str], bytes]
) -> None:
    """503, and to try again; nobody is told to reject the picture."""
    number, _ = people.open_case()
    picture_id = people.hand_over(number, photograph("rocket.jpg"))
    cage.close()
    answer = reviewer.get(f"/review/{picture_id}?show=1")
    assert answer.status_code == 503
    assert "Try again in a minute" in answer.text
    assert "unreadable" not in answer.text
