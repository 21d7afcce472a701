"""Structured logs on stderr. No image, hash, reference or request content goes in."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(log_format: str, log_level: str, **always: object) -> None:
    """Write log lines of this level and above as text or JSON.

    Args:
        log_format: `text` or `json`.
        log_level: the least severe level to write.
        always: what every line says, such as which worker writes it.
    """
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            lambda _logger, _method, event: {**event, **always},
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[log_level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
