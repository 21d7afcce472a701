"""Mail over real SMTP: taken, refused, away; and the templates' escaping."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email.message import Message
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from aiosmtpd.smtp import Envelope

from imageward_server.intake import outbox
from imageward_server.intake.intake import Intake
from imageward_server.intake.mail import SmtpSender, send_due

if TYPE_CHECKING:
    from conftest import Clock, People


class Mailbox(MessageHandler):
    """Keeps what it is sent, and refuses when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Message] = []
        self.refuses = False

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's hook
        self, server: object, session: object, envelope: Envelope, address: str, options: object
    ) -> str:
        """Take or refuse an address."""
        del server, session, options
        if self.refuses:
            return f"550 no such user {address}"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def handle_message(self, message: Message) -> None:
        """Keep a mail."""
        self.taken.append(message)


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, Controller]]:
    """Run a mail server on loopback."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, controller
    controller.stop(no_assert=True)


def sender(intake: Intake, controller: Controller) -> SmtpSender:
    """Return a sender to the mail server."""
    changed = {"smtp_port": controller.port, "smtp_security": "none"}
    return SmtpSender(intake.settings.model_copy(update=changed))


def test_mail_arrives_as_text_and_html(
    people: People, intake: Intake, picture: bytes, mailbox: tuple[Mailbox, Controller]
) -> None:
    """To the contact, from the configured sender, with the case number and where to look."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    box, controller = mailbox
    assert send_due(intake, sender(intake, controller)) == 2
    mail = box.taken[0]
    text, page = (part.get_payload(decode=True).decode() for part in mail.get_payload())
    assert (mail["To"], mail["From"]) == (people.contact, "imageward@localhost")
    assert number in text
    assert "http://127.0.0.1:8080/status" in text
    assert '<html lang="en">' in page
    assert send_due(intake, sender(intake, controller)) == 0


def test_mail_that_is_refused_is_kept_without_the_address_in_its_error(
    people: People,
    intake: Intake,
    picture: bytes,
    clock: Clock,
    mailbox: tuple[Mailbox, Controller],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It is tried again after a while and not before; neither log nor store names the person."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    box, controller = mailbox
    box.refuses = True
    assert send_due(intake, sender(intake, controller)) == 0
    box.refuses = False
    assert send_due(intake, sender(intake, controller)) == 0
    with intake.store.reading() as connection:
        assert {mail.error for mail in outbox.unsent(connection)} == {"SMTPRecipientsRefused"}
    assert people.contact not in "".join(capfd.readouterr())
    clock.now_s += 60
    assert send_due(intake, sender(intake, controller)) == 2


def test_a_mail_server_that_is_away_is_no_failure_of_ours(
    people: People, intake: Intake, picture: bytes
) -> None:
    """The mail stays owed."""
    number, _ = people.open_case()
    people.decide(people.hand_over(number, picture))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = intake.settings.model_copy(update={"smtp_port": port})
    assert send_due(intake, SmtpSender(settings)) == 0
    with intake.store.reading() as connection:
        assert {mail.error for mail in outbox.unsent(connection)} == {"SMTPConnectError"}
