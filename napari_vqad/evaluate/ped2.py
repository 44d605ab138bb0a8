"""The experiment of Ishii 2023 (tables 5–9) on UCSD Ped2: all methods of a bundle on test frames and pixels.

As in the paper, λ_s and λ_p are tuned for each model and method on the validation part (`evaluate.tuning`).

Two kinds of metrics are in separate tables. The first table has AUROC and AP, and F1 at a threshold chosen on the
validation part. The second has the paper's metrics: F1 and balanced accuracy, which the paper calls AUC, at the
threshold with the best balanced accuracy on the test part itself.

As in the author's code (helper.py of github.com/re8423/VQ_Anomaly_Improved), the F1 in the second table is the mean of
the F1 of both classes, and the score of a frame is the mean of its pixel score, if the method has one. Pixels are
counted individually; Mahadevan's rule of 40 % of the abnormal pixels is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.evaluate import comparison
from napari_vqad.evaluate.cases import NORMAL, Case
from napari_vqad.evaluate.metrics import in_table
from napari_vqad.evaluate.tuning import PERCENTILES
from napari_vqad.evaluate.variants import Over
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.io.clips import Clip
from napari_vqad.train.ped2_split import Part, pieces, segments

ABNORMAL = "abnormal"
TUNED_ON = "the validation part of UCSD Ped2, normal and abnormal frames, by the balanced accuracy of frames"


def clip_cases(folder: Path, part: Part, spec: GridSpec) -> Iterator[Case]:
    """Make a case of each segment of a part; the frames of a segment are all normal or all abnormal.

    Raises:
        InputError: there are no clips, or the size of their frames is not that of the model.
    """
    for piece in segments(folder, part):
        volume = piece.volume()
        assert piece.abnormal is not None
        assert piece.label is not None
        grid = to_grid(volume, volume.voxels >= 0, spec)
        kind = ABNORMAL if piece.abnormal.any() else NORMAL
        yield Case(piece.name, kind, grid, piece.label.astype(float), piece.label, grid.mask, piece.abnormal)


class Frame(NamedTuple):
    """A frame of a clip, by its number from 0."""

    clip: Clip
    number: int


def draw_frames(folder: Path, part: Part, normal: int, abnormal: int, seed: int) -> list[Frame]:
    """Draw frames of a part at random: normal ones, then abnormal ones, each in the order of clips and frames.

    With the same seed, a larger number adds frames to those of a smaller one.

    Raises:
        InputError: as in `segments`, or the part has fewer such frames.
    """
    known: dict[str, list[Frame]] = {NORMAL: [], ABNORMAL: []}
    for clip, frames in pieces(folder, part):
        assert clip.abnormal is not None
        known[ABNORMAL if clip.abnormal[frames.start] else NORMAL] += [Frame(clip, t) for t in frames]
    drawn: list[Frame] = []
    for stream, (kind, wanted) in enumerate(((NORMAL, normal), (ABNORMAL, abnormal))):
        if wanted > len(known[kind]):
            raise InputError(
                f"The {part} part of {folder} has {len(known[kind])} {kind} frames, fewer than the {wanted} asked for."
            )
        order = np.random.default_rng([seed, stream]).permutation(len(known[kind]))
        drawn += [known[kind][i] for i in sorted(order[:wanted])]
    return drawn


def lines_of(
    bundle: Bundle,
    folder: Path,
    settings: Settings,
    methods: tuple[str, ...] = (),
    over: Over = "mean",
    report: Callable[[str], None] = print,
    keep: Path | None = None,
    percentiles: Sequence[float] = PERCENTILES,
    look: Callable[[comparison.ModelResult, np.ndarray, np.ndarray], None] | None = None,
) -> list[comparison.ModelResult]:
    """Evaluate a bundle on the clips in a folder; see `comparison.compare_models` for the other arguments.

    Raises:
        InputError: the bundle is not a model of clips; or see `clip_cases`.
    """
    spec = bundle.config.grid
    if spec.kind != "clip":
        raise InputError(f"{bundle.title} is a model of {spec.kind}s; Ped2 is made of clips.")
    validation, test = (list(clip_cases(folder, part, spec)) for part in ("validation", "test"))
    return comparison.compare_models(bundle, validation, test, settings, methods, report, over, keep, percentiles, look)


def paper_table(lines: list[comparison.ModelResult]) -> str:
    """Make a Markdown table of the paper's metrics, at the best threshold for the test part itself."""
    head = ("frame “AUC”", "frame F1", "pixel “AUC”", "pixel F1")
    found = [(x, (x.best.balanced, x.best.macro, x.best_voxels.balanced, x.best_voxels.macro)) for x in lines]
    return _table(tuple(f"{name}, as in the paper" for name in head), found)


def _table(head: tuple[str, ...], rows: Sequence[tuple[comparison.ModelResult, tuple[float, ...]]]) -> str:
    top = f"| tokenizer + prior | method | {' | '.join(head)} |\n" + "|---" * (len(head) + 2) + "|"
    body = [f"| {x.bundle} | {x.method} | {' | '.join(in_table(n, 3) for n in numbers)} |" for x, numbers in rows]
    return "\n".join([top, *body])
