"""Errors as the log may tell them: where they came from, and not what they say.

An error's own words may repeat what a caller sent: SQLAlchemy names the parameters of a
statement, a KeyError its key. So the log has the classes and the places in the code, and
the words of those errors alone that are known to hold nothing of a caller's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Final

from imageward_index.errors import SegmentUnusable
from imageward_server.errors import DataCorrupt, StoreIncompatible, Unavailable

ERRORS_MAX: Final = 8
"""Of a chain of causes, the first ones."""

FRAMES_MAX: Final = 40
"""Of one error, the innermost."""

_SPEAKING: Final = (SegmentUnusable, DataCorrupt, StoreIncompatible, Unavailable)


def describe_error(error: BaseException) -> str:
    """Write an error and its causes, each with its frames, the innermost last."""
    return "\ncaused by: ".join(_describe_one(one) for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(ERRORS_MAX):
        if following is None:
            return
        yield following
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)


def _describe_one(error: BaseException) -> str:
    kind = type(error)
    words = _words(error)
    title = f"{kind.__module__}.{kind.__qualname__}{': ' if words else ''}{words}"
    return "\n".join([title, *list(_frames(error.__traceback__))[-FRAMES_MAX:]])


def _words(error: BaseException) -> str:
    if isinstance(error, _SPEAKING):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or ""
    # SQLite's name for what went wrong, such as SQLITE_FULL.
    return str(getattr(error, "sqlite_errorname", ""))


def _frames(traceback: TracebackType | None) -> Iterator[str]:
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = "/".join(PurePath(code.co_filename).parts[-3:])
        yield f"  {place}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
