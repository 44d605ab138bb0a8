"""The bytes of a file, out of gzip where they are in it, and no more of them than its own header promises."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.files.regular import open_regular

GZIP = b"\x1f\x8b"
PIECE = 2**20


def read_promised(path: Path, first: int, promised: Callable[[bytes], int]) -> tuple[bytes, tuple[str, ...]]:
    """The first bytes of a file, as many as they themselves promise.

    Args:
        path: of a file that may be in gzip, of one member or several.
        first: how many bytes are read before `promised` is asked.
        promised: these bytes, or fewer where the file is shorter → how many there are in all. What it raises goes on
            to the caller.

    Returns:
        The bytes, fewer where the file ends before; and notes for the user.

    Raises:
        InputError: as `open_regular`; or gzip is cut short, fails its checksum, or unpacks to `limits.BEYOND` more
            than was promised.
    """
    with open_regular(path) as file:
        try:
            packed = file.read(2) == GZIP
            file.seek(0)
            stream: _Plain | _Gzip = _Gzip(file) if packed else _Plain(file)
            head = stream.take(first)
            raw = head + stream.take(max(promised(head) - len(head), 0))
            if isinstance(stream, _Plain):
                return raw, ()
            # On to the end: gzip's checksum stands behind the last byte.
            beyond = 0
            while piece := stream.take(PIECE):
                beyond += len(piece)
                if beyond <= limits.BEYOND:
                    continue
                raise InputError(
                    f"{path} unpacks to over {gib(limits.BEYOND)} more than its header promises; it is not read."
                )
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(f"{path} is cut short or damaged: it cannot be unpacked.") from error
        note = "Bytes that follow the end of the gzip data in the file were ignored."
        return raw, (note,) if stream.trailing else ()


class _Plain:
    """Bytes as they are in the file."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.left = os.fstat(file.fileno()).st_size

    def take(self, n: int) -> bytes:
        """Up to n bytes. Never asks for more than the file has: Python would make room for all of it."""
        found = self.file.read(min(n, self.left))
        self.left -= len(found)
        return found


class _Gzip:
    """Bytes out of gzip: members one after the other; zeros or anything else behind them is left, as gzip(1) does.

    Attributes:
        trailing: is there something behind the last member that is neither gzip nor zeros?
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.trailing = self.ended = False
        self.rest = b""
        self.inflate = _inflate()

    def take(self, n: int) -> bytes:
        """Up to n bytes; fewer at the end of the last member, whose checksum was right.

        Raises:
            EOFError: the file ends within a member.
            zlib.error: it is damaged.
        """
        found = bytearray()
        while len(found) < n and not self.ended:
            if self.inflate.eof:
                self._next()
                continue
            piece = self.rest or self.file.read(PIECE)
            # Without input zlib may still have output of the piece before.
            given = self.inflate.decompress(piece, n - len(found))
            if not piece and not given and not self.inflate.eof:
                raise EOFError("the file ends within a member")
            found += given
            self.rest = self.inflate.unconsumed_tail
        return bytes(found)

    def _next(self) -> None:
        """Go on with the next member, if there is one."""
        rest, zeros = self.inflate.unused_data.lstrip(b"\0"), 0
        # Zeros that take no room on the disk may go on for ever.
        while len(rest) < len(GZIP) and zeros <= limits.BEYOND and (piece := self.file.read(PIECE)):
            rest, zeros = (rest + piece).lstrip(b"\0"), zeros + len(piece)
        if rest.startswith(GZIP):
            self.inflate, self.rest = _inflate(), rest
        else:
            self.ended, self.trailing = True, bool(rest)


def _inflate() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)  # with gzip's header and checksum
