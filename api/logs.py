"""What the door writes down for whoever keeps it running.

Never a code, a key, a customer or anything else that came in a request: of an error only its kind
and where it happened, for a database quotes the values that it chokes on.
"""

import logging
import sys
import traceback
from typing import TextIO, cast

import structlog
from fastapi import Request
from structlog.stdlib import ProcessorFormatter
from structlog.typing import FilteringBoundLogger, Processor

from coupon_engine.settings import Settings

_log = cast("FilteringBoundLogger", structlog.get_logger())


def start(settings: Settings, stream: TextIO = sys.stderr) -> None:
    """Set the tone for this process; what libraries log goes the same way.

    For whoever owns the process: an app inside another one leaves its logging alone.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    first: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: Processor = (
        structlog.processors.JSONRenderer()
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[*first, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ProcessorFormatter(processor=last, foreign_pre_chain=first))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells of every request, and of every question to another server.
    for chatty in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def failed(request: Request, error: Exception) -> None:
    """Note an error that is ours to mend."""
    _log.error(
        "request failed",
        method=request.method,
        path=request.url.path,
        error=_kind(error),
        because=_kind(error.__cause__) if error.__cause__ else None,
        sqlstate=getattr(getattr(error, "orig", None), "sqlstate", None),
        at=_frames(error),
    )


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(error: Exception) -> list[str]:
    innermost = traceback.extract_tb(error.__traceback__)[-12:]
    return [f"{each.filename}:{each.lineno} {each.name}" for each in innermost]
