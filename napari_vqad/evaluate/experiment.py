"""One experiment: every method on every case, in one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from napari_vqad.bundle import Bundle
from napari_vqad.evaluate.cases import NORMAL, Case
from napari_vqad.evaluate.metrics import Ranking, rank
from napari_vqad.evaluate.ways import Way
from napari_vqad.explorer import Explorer
from napari_vqad.nets.pca import PCA
from napari_vqad.settings import Settings

POSITIVE_VOXELS = 10  # of the grid; fewer in a slice are the rim of a lesion, and the slice is left out


@dataclass(frozen=True)
class Row:
    """A method on the cases of one kind and the normal ones, or on all cases.

    Attributes:
        voxels: over the voxels of all masks of these cases together.
        slices: over their slices that touch the mask; positive with at least `POSITIVE_VOXELS` labelled voxels,
            negative without any. A slice's score is AS_sample for `sample-wise`, else its highest pixel score.
    """

    method: str
    kind: str
    voxels: Ranking
    slices: Ranking


def run(
    bundle: Bundle,
    cases: Iterable[Case],
    settings: Settings,
    ways: list[Way],
    pca: PCA | None = None,
    report: Callable[[str], None] = print,
    look: Callable[[Case, Explorer], None] | None = None,
) -> list[Row]:
    """Score all cases; see `Row` for what is counted. `look` is shown each case after each way of restoring it."""
    explorer = Explorer(bundle, settings)
    voxels: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    slices: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    kinds: list[str] = []
    for case in cases:
        if case.kind not in kinds:
            kinds.append(case.kind)
        explorer.take(case.grid)
        per_slice = case.label.sum((1, 2))
        clear = ((per_slice >= POSITIVE_VOXELS) | (per_slice == 0)) & case.grid.mask.any((1, 2))
        for way in ways:
            score, slice_score = way.score(explorer, settings, pca)
            key = (way.name, case.kind)
            voxels.setdefault(key, []).append((case.on_truth(score), case.truth[case.counted]))
            slices.setdefault(key, []).append((slice_score[clear], per_slice[clear] > 0))
            if look and way.of == "pixel":
                look(case, explorer)
        report(f"{case.name} ({case.kind})")
    abnormal = [k for k in kinds if k != NORMAL]
    return [
        Row(way.name, kind, _rank(voxels, way.name, chosen), _rank(slices, way.name, chosen))
        for way in ways
        for kind, chosen in [("all", kinds), *((k, [k, NORMAL]) for k in abnormal)]
    ]


def _rank(found: dict[tuple[str, str], list], name: str, kinds: list[str]) -> Ranking:
    pairs = [pair for kind in kinds for pair in found.get((name, kind), [])]
    return rank(np.concatenate([s for s, _ in pairs]), np.concatenate([t for _, t in pairs]))


def overall_table(rows: list[Row]) -> str:
    """Markdown: methods over all cases."""
    lines = ["| method | slice AUROC | slice AP | voxel AUROC | voxel AP | best Dice |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.kind == "all":
            numbers = (row.slices.auroc, row.slices.ap, row.voxels.auroc, row.voxels.ap, row.voxels.dice)
            lines.append(f"| {row.method} | " + " | ".join(f"{n:.2f}" for n in numbers) + " |")
    return "\n".join(lines)


def kind_table(rows: list[Row], what: str = "ap") -> str:
    """Markdown: a voxel metric of each method, kind by kind."""
    kinds = list(dict.fromkeys(r.kind for r in rows if r.kind != "all"))
    methods = list(dict.fromkeys(r.method for r in rows))
    by = {(r.method, r.kind): getattr(r.voxels, what) for r in rows}
    head = f"| {'voxel AP' if what == 'ap' else what} | " + " | ".join(kinds) + " |"
    body = [f"| {m} | " + " | ".join(f"{by[m, k]:.2f}" for k in kinds) + " |" for m in methods]
    return "\n".join([head, "|---" * (len(kinds) + 1) + "|", *body])


def write_json(rows: list[Row], path: Path, about: dict) -> None:
    """The rows with what they were made with."""
    path.write_text(json.dumps({**about, "rows": [asdict(r) for r in rows]}, indent=1) + "\n", encoding="utf-8")
