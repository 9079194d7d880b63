"""The counter's door: picture to text, text to verdict, verdict to journal.

The eye opens when it is asked for. Whoever only asks a server need not wait until OpenCV is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scanner.eye.cascade import decode
    from scanner.eye.reading import Effort, Reading
    from scanner.eye.watching import Watcher

__all__ = ["Effort", "Reading", "Watcher", "decode"]

_EYE = {
    "Effort": "scanner.eye.reading",
    "Reading": "scanner.eye.reading",
    "Watcher": "scanner.eye.watching",
    "decode": "scanner.eye.cascade",
}


def __getattr__(name: str) -> Any:
    if name not in _EYE:
        raise AttributeError(f"module 'scanner' has no attribute {name!r}")
    return getattr(import_module(_EYE[name]), name)
