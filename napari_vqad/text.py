"""Text that came from outside, such as a file's name or a reader's note, made fit to be shown and written."""

from __future__ import annotations

import re

ESCAPED = re.compile("[\udc80-\udcff]+")  # bytes of a file name that are not in the locale's encoding (PEP 383)
BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
# Control characters, and those that turn the direction of the text that follows: a name could look like another.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNKNOWN = "\ufffd"


def printable(text: str) -> str:
    """The text in one line of valid Unicode.

    Bytes of a file name that Python kept as surrogates are read as UTF-8 where they are UTF-8. A line break or a tab
    becomes a space; a control character, a bidirectional override and what is left of the surrogates become U+FFFD.
    """
    text = ESCAPED.sub(lambda found: bytes(ord(c) - 0xDC00 for c in found[0]).decode("utf-8", "replace"), text)
    return UNSEEN.sub(UNKNOWN, BREAKS.sub(" ", text))


def all_printable(data: object) -> object:
    """The same lists and dicts of plain data, all their text `printable`."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {all_printable(key): all_printable(value) for key, value in data.items()}
    return [all_printable(value) for value in data] if isinstance(data, list | tuple) else data
