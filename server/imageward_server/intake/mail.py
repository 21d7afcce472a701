"""Mail: what the outbox owes, written in the person's language and handed to SMTP.

A mail says nothing of the content: not even that it is about a picture appears in its
subject, which others may see on a locked screen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.message import EmailMessage

import aiosmtplib
import structlog
from jinja2 import Environment, PackageLoader

from imageward_server.intake import cases, outbox
from imageward_server.intake.intake import Intake
from imageward_server.intake.limits import MAIL_TIMEOUT_S
from imageward_server.intake.outbox import MailRecord
from imageward_server.intake.records import CaseRecord
from imageward_server.intake.settings import IntakeSettings
from imageward_server.intake.words import say

log = structlog.get_logger(__name__)

Send = Callable[[EmailMessage], None]
_templates = Environment(
    loader=PackageLoader("imageward_server.intake.web"), autoescape=True, trim_blocks=True
)


class SmtpSender:
    """Hands mail to the configured server, one connection each.

    Args:
        settings: where and how.
    """

    def __init__(self, settings: IntakeSettings) -> None:
        self._settings = settings

    def __call__(self, message: EmailMessage) -> None:
        """Send one mail.

        Raises:
            aiosmtplib.SMTPException: it was not taken.
            OSError: the server is not there, or the password's file is not.
        """
        settings = self._settings
        password = None
        if settings.smtp_password_file:
            password = settings.smtp_password_file.read_text().strip()
        asyncio.run(
            aiosmtplib.send(
                message,
                hostname=settings.smtp_host,
                port=settings.smtp_port,
                use_tls=settings.smtp_security == "tls",
                start_tls=settings.smtp_security == "starttls",
                username=settings.smtp_user or None,
                password=password,
                timeout=MAIL_TIMEOUT_S,
            )
        )


def send_due(intake: Intake, send: Send) -> int:
    """Send what is due; return how much was taken. What fails is tried again later."""
    with intake.store.reading() as connection:
        owed = outbox.due(connection, intake.now_us())
    return sum(_send_one(intake, send, mail) for mail in owed)


def compose(intake: Intake, case: CaseRecord, address: str, mail: MailRecord) -> EmailMessage:
    """Write a mail, as text and as HTML."""
    kind, language = mail.kind.value, case.language
    words = [say(language, f"mail_{kind}")]
    if mail.reason:
        words.append(say(language, f"reason_{mail.reason}"))
    status_url = f"{intake.settings.public_url}/status"
    words.append(say(language, "mail_status", number=case.number, url=status_url))
    message = EmailMessage()
    message["From"] = intake.settings.mail_from
    message["To"] = address
    message["Subject"] = say(language, "mail_subject")
    domain = intake.settings.mail_from.rpartition("@")[2]
    # The same when it is sent again, so that a mailbox can tell.
    message["Message-ID"] = f"<{mail.id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join(words) + "\n")
    page = _templates.get_template("mail.html").render(language=language, paragraphs=words)
    message.add_alternative(page, subtype="html")
    return message


def _send_one(intake: Intake, send: Send, mail: MailRecord) -> bool:
    with intake.store.reading() as connection:
        case = cases.get(connection, mail.case_number)
    address = cases.contact_of(intake, case)
    if address is None:  # erased since the mail was read
        return False
    error = _try(send, compose(intake, case, address, mail))
    with intake.store.changing() as head:
        if error:
            outbox.mark_failed(head, mail, error)
        else:
            outbox.mark_sent(head, mail)
    return not error


def _try(send: Send, message: EmailMessage) -> str:
    """Send a mail; return what went wrong, by its kind: a server's text may name the address."""
    try:
        send(message)
    except (aiosmtplib.SMTPException, OSError) as error:
        log.warning("mail not sent", error=type(error).__name__)
        return type(error).__name__
    return ""
