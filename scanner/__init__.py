"""The counter's door: picture to text, text to verdict, verdict to journal."""

from scanner.decode import decode

__all__ = ["decode"]
