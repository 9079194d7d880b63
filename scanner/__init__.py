"""The counter's door: picture to text, text to verdict, verdict to journal."""

from scanner.eye.cascade import decode
from scanner.eye.reading import Effort, Reading
from scanner.eye.watching import Watcher

__all__ = ["Effort", "Reading", "Watcher", "decode"]
