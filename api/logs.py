"""What the door writes down for whoever keeps it running.

Never a code, a key, a customer or anything else that came in a request: of an error only its kind
and where it happened, for a database quotes the values that it chokes on. What slips into a line
all the same, by a library's hand, is hidden on its way out.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from fastapi import Request
from structlog.stdlib import ProcessorFormatter
from structlog.typing import FilteringBoundLogger, Processor

from coupon_engine.settings import Settings
from schemas.cards import card_numbers

HIDDEN = "[hidden]"
MOST_LETTERS = 8_192  # of one value

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
    last: list[Processor] = [
        _place_only,
        _hide,
        structlog.processors.JSONRenderer(default=str)
        if settings.log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=stream.isatty()),
    ]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        ProcessorFormatter(
            processors=[ProcessorFormatter.remove_processors_meta, *last], foreign_pre_chain=first
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # It tells of every request, and of every question to another server.
    for chatty in ("httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    _take_over()


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


def hidden(text: str) -> str:
    """Return the text without what is nobody's business."""
    # No line looks like two, and none paints over another.
    text = _CONTROLS.sub(" ", text[:MOST_LETTERS])
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    for start, end in reversed(list(card_numbers(text))):
        text = f"{text[:start]}{HIDDEN}{text[end:]}"
    return text


def _take_over() -> None:
    """Take what Python writes to the terminal by itself: warnings, and what ends a thread."""
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # it would print the very arguments of the line that failed

    def ends(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        _log.critical("process ends", error=_kind(error), at=_frames(error))

    def thread_ends(told: threading.ExceptHookArgs) -> None:
        if told.exc_value is not None:
            _log.critical("thread ends", error=_kind(told.exc_value), at=_frames(told.exc_value))

    def unraisable(told: "sys.UnraisableHookArgs") -> None:
        if told.exc_value is not None:
            _log.error("left behind", error=_kind(told.exc_value), at=_frames(told.exc_value))

    sys.excepthook, threading.excepthook, sys.unraisablehook = ends, thread_ends, unraisable


def _place_only(_: object, __: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Of an exception leave its kind and its place."""
    match told.pop("exc_info", None):
        case (_, BaseException() as error, _) | (BaseException() as error):
            pass
        case None | False:
            error = None
        case _:
            error = sys.exc_info()[1]
    if error is not None:
        told.setdefault("error", _kind(error))
        told.setdefault("at", _frames(error))
    told.pop("exception", None)
    return told


def _hide(_: object, __: str, told: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: _without(value, name) for name, value in told.items()}


def _without(value: Any, name: str = "") -> Any:
    match value:
        case None | bool() | float():
            return value
        case _ if name.lower().replace("-", "_") in _NAMES:
            return HIDDEN
        case int():
            return value if hidden(str(value)) == str(value) else HIDDEN
        case dict():
            members = cast("dict[object, Any]", value).items()
            return {hidden(str(key)): _without(each, str(key)) for key, each in members}
        case list() | tuple() | set():
            return [_without(each) for each in cast("list[Any]", value)]
        case _:
            return hidden(str(value))


_CONTROLS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NAMES = frozenset(
    {
        "api_key",
        "authorization",
        "challenge",
        "code",
        "cookie",
        "email",
        "mail",
        "number",
        "otp",
        "passcode",
        "password",
        "phone",
        "phone_number",
        "pin",
        "proxy_authorization",
        "recovery_code",
        "secret",
        "set_cookie",
        "short_code",
        "signature",
        "signature_input",
        "token",
        "totp",
    }
)
_HEADERS = "(?:proxy-)?authorization|signature(?:-input)?|(?:set-)?cookie|x-csrf-token"
_SAYS = r"""['"]?\s*[:=,]\s*b?['"]?"""
_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (rf"""(?i)\b({_HEADERS})({_SAYS})[^'"\r\n]+""", rf"\1\2{HIDDEN}"),
        (r"(?i)\b(bearer|basic|dpop)\s+[\w.~+/=-]{6,}", rf"\1 {HIDDEN}"),
        (r"cfk_\w+", HIDDEN),
        (r"__(?:Host|Secure)-[\w-]+=[^;\s'\"]+", HIDDEN),
        # What is shown at a counter: our own form, a JWT, the short code.
        (r"CP[0-9][0-9A-Z][0-9A-Z $%*+\-./:]{20,}", HIDDEN),
        (r"eyJ[\w-]+\.[\w-]*(?:\.[\w-]*)*(?:~[\w.~-]*)?", HIDDEN),
        (r"(?i)(?<![\w-])[0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4}(?![\w-])", HIDDEN),
        (r"(?<![\w-])(?=[A-Z]*\d)(?=\d*[A-Z])[0-9A-HJKMNP-TV-Z]{12}(?![\w-])", HIDDEN),
        # A name that tells: code=123456, "pin": "1234".
        (
            rf"(?i)\b((?:\w+_)?(?:password|passcode|secret|api_key|token))({_SAYS})"
            r"""[^\s'"&,;})]+""",
            rf"\1\2{HIDDEN}",
        ),
        (
            rf"(?i)\b((?:\w+_)?(?:code|pin|otp|totp|challenge))({_SAYS})"
            r"""[^\s'"&,;})]*\d[^\s'"&,;})]*""",
            rf"\1\2{HIDDEN}",
        ),
        (r"://[^/\s@]{1,256}@", f"://{HIDDEN}@"),
        (r"(?<![\w.+-])[\w.+%-]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63})+", HIDDEN),
        (r"(?:\+|%2[Bb])\d[\d ().-]{6,18}\d", HIDDEN),
    )
)


def _kind(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _frames(error: BaseException) -> list[str]:
    innermost = traceback.extract_tb(error.__traceback__)[-12:]
    return [f"{each.filename}:{each.lineno} {each.name}" for each in innermost]
