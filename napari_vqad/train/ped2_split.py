"""The split of UCSD Ped2 (Mahadevan et al. 2010) into training, validation and test frames, as in Ishii 2023.

Of the normal frames 80 % train, 10 % validate and 10 % test; of the abnormal ones 10 % validate and 90 % test. Normal
frames are those of the training clips and the normal ones of the test clips.

A clip is divided into runs: consecutive frames that are all normal or all abnormal. Each run is cut into consecutive
pieces in the order train, validation, test, at 80 and 90 % of a normal run and at 10 % of an abnormal run, to the
nearest frame. Neighbouring frames are almost identical, so with a random split, test frames would have near copies
among the training frames. With these cuts, only the two frames at a cut are neighbours. The people in a test piece may
still have walked through the training piece before it, which follows from the split of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.io.clips import Clip, read_clip

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
CUTS = {False: (0.8, 0.9), True: (0.0, 0.1)}  # abnormal or not → shares of a run where training and validation end


def segments(folder: Path, part: Part) -> Iterator[Clip]:
    """Yield the pieces of a part, clip by clip; each is all normal or all abnormal, as its `abnormal` says.

    Args:
        folder: holds `training_NN.npz`, all of them normal, and `testing_NN.npz` with labels.
        part: the part of the data.

    Raises:
        InputError: there are no clips, or a test clip has no labels.
    """
    for clip, frames in pieces(folder, part):
        yield clip.part(frames.start, frames.stop)


def pieces(folder: Path, part: Part) -> Iterator[tuple[Clip, range]]:
    """Yield the same pieces as `segments`, as the whole clip and the frame numbers of the piece."""
    for clip in _clips(Path(folder)):
        for first, end, abnormal in runs(clip):
            start, stop = cut(end - first, abnormal)[part]
            if stop > start:
                yield clip, range(first + start, first + stop)


def runs(clip: Clip) -> list[tuple[int, int, bool]]:
    """List first frame, end and abnormality of each run of a labelled clip; together the runs are the whole clip."""
    assert clip.abnormal is not None
    edges = [0, *(np.flatnonzero(np.diff(clip.abnormal)) + 1).tolist(), len(clip)]
    return [(a, b, bool(clip.abnormal[a])) for a, b in pairwise(edges)]


def cut(n: int, abnormal: bool) -> dict[Part, tuple[int, int]]:
    """Return first frame and end of each part of a run of `n` frames; parts may be empty."""
    edges = [0, *(round(share * n) for share in CUTS[abnormal]), n]
    return dict(zip(PARTS, pairwise(edges), strict=True))


def _clips(folder: Path) -> Iterator[Clip]:
    training, testing = (sorted(folder.glob(f"{kind}_*.npz")) for kind in ("training", "testing"))
    if not training:
        raise InputError(f"{folder} has no clips; training_NN.npz and testing_NN.npz were expected.")
    for path in training:
        clip = read_clip(path)
        nothing = np.zeros(clip.frames.shape, bool)
        yield replace(clip, abnormal=np.zeros(len(clip), bool), label=nothing)
    for path in testing:
        clip = read_clip(path)
        if clip.abnormal is None:
            raise InputError(f"{path} has no labels; the clips called testing_NN must have them.")
        yield clip
