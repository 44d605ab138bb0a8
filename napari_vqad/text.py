"""Make text from outside, such as a file's name or a reader's note, safe to show and to write."""

from __future__ import annotations

import re

ESCAPED = re.compile("[\udc80-\udcff]+")  # bytes of a file name that are not in the locale's encoding (PEP 383)
BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
# Control characters, and characters that change the direction of text, with which a name could look like another.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
UNKNOWN = "\ufffd"


def printable(text: str) -> str:
    """Convert text to one line of valid Unicode.

    Bytes of a file name that Python stores as surrogates are decoded as UTF-8 if they are valid. A line break or a tab
    becomes a space; control characters, bidirectional overrides and remaining surrogates become U+FFFD.
    """
    text = ESCAPED.sub(lambda found: bytes(ord(c) - 0xDC00 for c in found[0]).decode("utf-8", "replace"), text)
    return UNSEEN.sub(UNKNOWN, BREAKS.sub(" ", text))


def all_printable(data: object) -> object:
    """Apply `printable` to every text in nested lists and dicts."""
    if isinstance(data, str):
        return printable(data)
    if isinstance(data, dict):
        return {all_printable(key): all_printable(value) for key, value in data.items()}
    return [all_printable(value) for value in data] if isinstance(data, list | tuple) else data
