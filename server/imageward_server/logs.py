"""Structured logs on stderr. No image, hash, reference, token or request content goes in.

Whatever a library logs, and whatever ends a thread, comes out the same way, so that every
line of a process is one line of JSON where that is asked for.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from imageward_server.tracebacks import describe_error


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Write log lines of this level and above as text or JSON.

    Args:
        log_format: `text` or `json`.
        log_level: the least severe level to write.
        always: what every line says, such as which worker writes it.
    """
    level = logging.getLevelNamesMapping()[log_level.upper()]
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        lambda _logger, _method, event: {**event, **always},
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe_exception,
        _renderer(log_format),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # A line and its end in one write: several processes share the stream.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Handler()], level=max(level, logging.WARNING), force=True)
    sys.excepthook = _on_uncaught
    threading.excepthook = lambda told: _on_uncaught(
        told.exc_type, told.exc_value or told.exc_type(), told.exc_traceback
    )


def _renderer(log_format: str) -> Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())


def _describe_exception(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Put an error's classes and places where structlog would put its words."""
    told: Any = event.pop("exc_info", None)
    error = sys.exception() if told is True else told
    if isinstance(error, BaseException):
        event["exception"] = describe_error(error)
    return event


class _Handler(logging.Handler):
    """Passes on what libraries log: the pattern of the message, and not what is filled in."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger(record.name).log(
            record.levelno,
            "logged by a library",
            logger=record.name,
            pattern=str(record.msg) if record.args else "",
            place=f"{record.module}:{record.lineno}",
            exc_info=error,
        )


def _on_uncaught(
    _kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    structlog.get_logger(__name__).error("uncaught error", exc_info=error)
