"""The number of slices in a batch of gradient descent: small, so that steps are short and progress is shown often.

The work can only be cancelled between two steps, and a step of a large batch of large slices takes seconds on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

AT_ONCE = 8  # slices in a job on a CPU
PIXELS = 2**16  # pixels in a batch on a CPU: eight slices of 72×88 pixels, or one of 256×256


def batches(rows: Sequence[int], pixels: int, times: int = 1) -> Iterator[Sequence[int]]:
    """Divide slices with `pixels` pixels each into batches of at most `times` · `PIXELS` pixels, or one slice."""
    size = max(1, times * PIXELS // pixels)
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
