"""Reads the bytes of a file, gzipped or not, and no more than its header announces."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.files.regular import open_regular, reason

GZIP = b"\x1f\x8b"
PIECE = 2**20


def read_promised(path: Path, first: int, promised: Callable[[bytes], int]) -> tuple[bytes, tuple[str, ...]]:
    """Read as many bytes of a file as its header announces.

    Args:
        path: the file; it may be gzipped, with one member or several.
        first: number of bytes to read before calling `promised`.
        promised: takes these bytes, or fewer if the file is shorter; returns the total number of bytes. Its errors are
            raised unchanged.

    Returns:
        The bytes, fewer if the file ends earlier; and notes for the user.

    Raises:
        InputError: as in `open_regular`; or the file cannot be read; or the gzip data are truncated, fail the checksum,
            or unpack to over `limits.BEYOND` more bytes than announced.
    """
    with open_regular(path) as file:
        with _as_input_error(path):
            packed = file.read(2) == GZIP
            file.seek(0)
            stream: _Plain | _Gzip = _Gzip(file) if packed else _Plain(file)
            head = stream.take(first)
        n_bytes = promised(head)
        with _as_input_error(path):
            raw = head + stream.take(max(n_bytes - len(head), 0))
            if isinstance(stream, _Plain):
                return raw, ()
            # Read to the end, since gzip's checksum follows the last byte.
            beyond = 0
            while piece := stream.take(PIECE):
                beyond += len(piece)
                if beyond <= limits.BEYOND:
                    continue
                raise InputError(
                    f"{path} unpacks to over {gib(limits.BEYOND)} more than its header promises; it is not read."
                )
        note = "Bytes that follow the end of the gzip data in the file were ignored."
        return raw, (note,) if stream.trailing else ()


@contextmanager
def _as_input_error(path: Path) -> Iterator[None]:
    """Raise the errors of reading and unpacking a file as `InputError`: the system's reason, or damaged gzip data."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be read: {reason(error)}.") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged: it cannot be unpacked.") from error


class _Plain:
    """Reads the bytes of a file that is not gzipped."""

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.left = os.fstat(file.fileno()).st_size

    def take(self, n: int) -> bytes:
        """Read up to n bytes, never more than the file has, since Python would allocate memory for all of them."""
        found = self.file.read(min(n, self.left))
        self.left -= len(found)
        return found


class _Gzip:
    """Reads the bytes of gzip members in turn; like gzip(1), ignores zeros or other bytes after the last member.

    Attributes:
        trailing: True if the last member is followed by bytes that are neither gzip nor zeros.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self.file = file
        self.trailing = self.ended = False
        self.rest = b""
        self.inflate = _inflate()

    def take(self, n: int) -> bytes:
        """Read up to n bytes; fewer at the end of the last member, after its checksum was verified.

        Raises:
            EOFError: the file ends within a member.
            zlib.error: the data are damaged.
        """
        found = bytearray()
        while len(found) < n and not self.ended:
            if self.inflate.eof:
                self._next()
                continue
            piece = self.rest or self.file.read(PIECE)
            # Without new input, zlib may still have output of the previous piece.
            given = self.inflate.decompress(piece, n - len(found))
            if not piece and not given and not self.inflate.eof:
                raise EOFError("the file ends within a member")
            found += given
            self.rest = self.inflate.unconsumed_tail
        return bytes(found)

    def _next(self) -> None:
        """Start the next member, if there is one."""
        rest, zeros = self.inflate.unused_data.lstrip(b"\0"), 0
        # A sparse file may have a huge number of zeros that take no disk space.
        while len(rest) < len(GZIP) and zeros <= limits.BEYOND and (piece := self.file.read(PIECE)):
            rest, zeros = (rest + piece).lstrip(b"\0"), zeros + len(piece)
        if rest.startswith(GZIP):
            self.inflate, self.rest = _inflate(), rest
        else:
            self.ended, self.trailing = True, bool(rest)


def _inflate() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)  # with gzip's header and checksum
