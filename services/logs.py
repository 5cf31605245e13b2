"""Logging: one JSON line an event that matters, on standard error; for a terminal the same in colours."""

import logging
import sys
from typing import TextIO

import structlog


def configure(service: str, file: TextIO | None = None) -> None:
    """Set structlog up, and route the libraries' warnings to the same place: standard error, or a file."""
    file = file or sys.stderr
    renderer = structlog.dev.ConsoleRenderer() if file.isatty() else structlog.processors.JSONRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        logger_factory=structlog.PrintLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(file)
    whole: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        renderer,
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=whole))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
