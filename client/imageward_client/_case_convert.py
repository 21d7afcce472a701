"""From the contract's messages about cases to the values of this library.

Nothing here knows calls or channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from imageward.v1 import case_pb2
from imageward_client import _case_answers as answers
from imageward_client._convert import moment, word
from imageward_client._types import CaseState, StopAction

if TYPE_CHECKING:
    from datetime import datetime


def open_answer(message: case_pb2.OpenCaseResponse) -> answers.OpenAnswer:
    """Returns the value of an OpenCaseResponse."""
    return answers.OpenAnswer(message.link, moment(message.link_expire_time), message.case_number)


def link_answer(message: case_pb2.RenewLinkResponse) -> answers.LinkAnswer:
    """Returns the value of a RenewLinkResponse."""
    return answers.LinkAnswer(message.link, moment(message.link_expire_time))


def case(message: case_pb2.Case) -> answers.Case:
    """Returns the value of a Case."""
    return answers.Case(
        number=message.number,
        state=word(CaseState, message.state),
        region=message.region,
        language=message.language,
        open_time=moment(message.open_time),
        pictures=tuple(map(_picture, message.pictures)),
        stops=tuple(map(_stop, message.stops)),
        unsent_mail_count=message.unsent_mail_count,
    )


def _picture(message: case_pb2.CasePicture) -> answers.CasePicture:
    return answers.CasePicture(
        receive_time=moment(message.receive_time),
        due_time=moment(message.due_time),
        decide_time=_moment_if_set(message, "decide_time"),
        delete_time=_moment_if_set(message, "delete_time"),
        entry_id=message.entry_id or None,
        reject_reason=message.reject_reason,
        appeal=message.appeal,
    )


def _moment_if_set(
    message: case_pb2.CasePicture, name: Literal["decide_time", "delete_time"]
) -> datetime | None:
    return moment(getattr(message, name)) if message.HasField(name) else None


def _stop(message: case_pb2.StopCount) -> answers.StopCount:
    return answers.StopCount(
        surface=message.surface,
        day=moment(message.day),
        action=word(StopAction, message.action),
        count=message.count,
    )
