"""Tokenizers × priors: every bundle by every method it knows, on the same cases (after Ishii 2023, tables 5–12).

True AUROC and AP stand in columns of their own. F1 and the balanced accuracy that the paper calls AUC are measured at a
threshold that the validation cases chose; at the best one of the very cases measured, as the paper has them, they stand
in `best` and `best_voxels`, for a table of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import Collected, collect
from napari_vqad.evaluate.metrics import AtThreshold, Ranking, at_best, at_threshold, rank
from napari_vqad.evaluate.result_cache import ResultCache
from napari_vqad.evaluate.variants import Over, method_variants, methods_of, settings_of

PERCENTILES = (20, 40, 60, 80, 90)


@dataclass(frozen=True)
class ModelResult:
    """One bundle by one method.

    Attributes:
        voxels, slices: over all test cases.
        f1: percentile of the validation cases' slice scores → what a threshold there does to the test's slices.
        chosen: the percentile of the highest F1 on the validation cases.
        seconds: a slice, from pixels to restorations; on the machine that made the table.
        best, best_voxels: slices and voxels at the best threshold of the test cases themselves: an upper bound.
    """

    bundle: str
    method: str
    voxels: Ranking
    slices: Ranking
    f1: dict[int, AtThreshold]
    chosen: int
    seconds: float
    best: AtThreshold
    best_voxels: AtThreshold


def compare_models(
    bundle: Bundle,
    validation: Iterable[Case],
    test: Iterable[Case],
    settings: Settings,
    methods: tuple[str, ...] = (),
    report: Callable[[str], None] = print,
    over: Over = "max",
    keep: Path | None = None,
) -> list[ModelResult]:
    """A line for sample-wise and for each method that the bundle knows (of `methods` alone, where given).

    `over`: as in `Variant`. The folder `keep` has what was measured before.
    """
    settings = settings.model_copy(update=dict(settings_of(bundle, None)))
    ways = method_variants(bundle.detector, methods_of(bundle.detector, methods), False, over)
    cache = ResultCache.of(keep, bundle, settings, over)
    tuned, found = (collect(bundle, cases, settings, ways, None, report, cache=cache) for cases in (validation, test))
    return [_line(bundle, way.name, tuned, found) for way in ways]


def _line(bundle: Bundle, name: str, tuned: Collected, found: Collected) -> ModelResult:
    seen, answers = tuned.of("slices", name)
    limits = {p: float(np.percentile(seen, p)) for p in PERCENTILES}
    chosen = max(PERCENTILES, key=lambda p: at_threshold(seen, answers, limits[p]).f1)
    scores, truth = found.of("slices", name)
    voxels = found.of("voxels", name)
    return ModelResult(
        bundle.title,
        name,
        rank(*voxels),
        rank(scores, truth),
        {p: at_threshold(scores, truth, limit) for p, limit in limits.items()},
        chosen,
        found.seconds[name] / max(found.n_slices, 1),
        at_best(scores, truth),
        at_best(*voxels),
    )


def table(lines: list[ModelResult]) -> str:
    """Markdown: how each pair does, and how long it takes."""
    head = (
        "| tokenizer + prior | method | slice AUROC | slice AP | voxel AUROC | voxel AP | best Dice | s a slice |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    body = [
        f"| {line.bundle} | {line.method} | "
        + " | ".join(
            f"{n:.2f}" for n in (line.slices.auroc, line.slices.ap, line.voxels.auroc, line.voxels.ap, line.voxels.dice)
        )
        + f" | {line.seconds:.2f} |"
        for line in lines
    ]
    return "\n".join([head, *body])


def threshold_table(lines: list[ModelResult], what: str = "slices", both: bool = False) -> str:
    """Markdown: F1 of slices at each percentile of validation scores; the one that validation chose is bold.

    With `both` the balanced accuracy stands behind every F1, not behind the chosen one alone.
    """
    figures = "F1 / balanced accuracy" if both else "F1"
    head = (
        f"| {what}, {figures} at the percentile of validation scores | method | "
        + " | ".join(map(str, PERCENTILES))
        + ("" if both else " | balanced accuracy at the chosen")
        + " |\n"
        + "|---" * (len(PERCENTILES) + (2 if both else 3))
        + "|"
    )
    body = []
    for line in lines:
        cells = []
        for p in PERCENTILES:
            cell = f"{line.f1[p].f1:.2f}" + (f" / {line.f1[p].balanced:.2f}" if both else "")
            cells.append(f"**{cell}**" if p == line.chosen else cell)
        rest = [] if both else [f"{line.f1[line.chosen].balanced:.2f}"]
        body.append(f"| {line.bundle} | {line.method} | {' | '.join([*cells, *rest])} |")
    return "\n".join([head, *body])


def as_json(lines: list[ModelResult]) -> list[dict]:
    """The lines as plain data."""
    return [asdict(line) for line in lines]
