"""An experiment: all methods on all cases, in one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import NORMAL, Case
from napari_vqad.evaluate.metrics import Ranking, in_table, rank
from napari_vqad.evaluate.result_cache import CaseResult, ResultCache
from napari_vqad.evaluate.variants import Variant
from napari_vqad.files.atomic import write_text

Pair = tuple[np.ndarray, np.ndarray]  # scores, and which are abnormal
Details = Callable[[Case, Explorer], np.ndarray]  # further numbers of a case that the explorer has scored


class CaseScores(NamedTuple):
    """Scores of one case with one variant, and its further numbers."""

    kind: str
    subject: str
    voxels: Pair
    slices: Pair
    details: np.ndarray


@dataclass(frozen=True)
class Row:
    """Result of one method on the cases of one kind and the normal cases, or on all cases.

    Attributes:
        voxels: ranking of the voxels within the masks of all these cases together.
        slices: ranking of their counted slices (`Case.of_slices`). The score of a slice is AS_sample for "sample-wise",
            else the maximum or mean of the pixel score (`Variant.over`).
    """

    method: str
    kind: str
    voxels: Ranking
    slices: Ranking


@dataclass
class Collected:
    """Scores and labels of all cases, from which tables are made.

    Attributes:
        voxels, slices: (name of the variant, kind of case) → (scores, which are abnormal) of each case.
        scans: name of the variant → (sum of the scores of all slices, whether any is abnormal) of each case.
        details: as `voxels`, the further numbers of each case.
        subjects: kind of case → the subject of each case.
        kinds: kinds of cases, in order of appearance.
        seconds: name of the variant → time of all stages of the detector, sum over the cases.
        n_slices: number of slices with brain, sum over the cases.
    """

    voxels: dict[tuple[str, str], list[Pair]] = field(default_factory=dict)
    slices: dict[tuple[str, str], list[Pair]] = field(default_factory=dict)
    scans: dict[str, list[tuple[float, bool]]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    details: dict[tuple[str, str], list[np.ndarray]] = field(default_factory=dict)
    subjects: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    n_slices: int = 0

    def of(self, what: str, name: str, kinds: list[str] | None = None) -> Pair:
        """Return scores and labels of all "voxels" or "slices" of a variant, for cases of some kinds or of all."""
        found = getattr(self, what)
        pairs = [pair for kind in kinds or self.kinds for pair in found.get((name, kind), [])]
        return np.concatenate([s for s, _ in pairs]), np.concatenate([t for _, t in pairs])

    def cases(self, name: str) -> Iterator[CaseScores]:
        """Iterate over the cases of a variant, kind by kind."""
        for kind in self.kinds:
            columns = (self.subjects[kind], *(of[name, kind] for of in (self.voxels, self.slices, self.details)))
            yield from (CaseScores(kind, *of_case) for of_case in zip(*columns, strict=True))

    def rows(self, ways: list[Variant]) -> list[Row]:
        """Return the rows of the table: for each variant all cases, then each kind."""
        chosen = [("all", self.kinds), *((k, [k, NORMAL]) for k in self.kinds if k != NORMAL)]
        return [
            Row(w.name, kind, rank(*self.of("voxels", w.name, kinds)), rank(*self.of("slices", w.name, kinds)))
            for w in ways
            for kind, kinds in chosen
        ]


def collect(
    bundle: Bundle,
    cases: Iterable[Case],
    settings: Settings,
    ways: list[Variant],
    pca: PCA | None = None,
    report: Callable[[str], None] = print,
    look: Callable[[Case, Explorer], None] | None = None,
    cache: ResultCache = ResultCache(),  # noqa: B008  # frozen
    details: Details | None = None,
) -> Collected:
    """Score all cases with all variants; `Row` says what is counted.

    `look` is called after each pixel score that is computed, and `details` gives further numbers of it, which are
    stored. Results in `cache` are not computed again.
    """
    explorer, found = Explorer(bundle, settings), Collected()
    for case in cases:
        if case.kind not in found.kinds:
            found.kinds.append(case.kind)
        if not all(cache.has(case, way.name) for way in ways):
            explorer.load_grid(case.grid)
        found.n_slices += int(case.grid.mask.any((1, 2)).sum())
        clear, positive = case.of_slices()
        truth = case.truth[case.counted]
        found.subjects.setdefault(case.kind, []).append(case.subject or case.name)
        for way in ways:
            one = cache.measured(case, way.name, partial(_measure, explorer, case, way, settings, pca, look, details))
            found.seconds[way.name] = found.seconds.get(way.name, 0.0) + one.seconds
            key = (way.name, case.kind)
            found.voxels.setdefault(key, []).append((one.voxels, truth))
            found.slices.setdefault(key, []).append((one.slices, positive[clear]))
            found.details.setdefault(key, []).append(one.details)
            found.scans.setdefault(way.name, []).append((one.scan, bool(positive.any())))
        report(f"{case.name} ({case.kind})")
    return found


def _measure(
    explorer: Explorer,
    case: Case,
    way: Variant,
    settings: Settings,
    pca: PCA | None,
    look: Callable[[Case, Explorer], None] | None,
    details: Details | None,
) -> CaseResult:
    """Score the case that the explorer has loaded, with one variant."""
    # The first phase runs once for all variants. Its time is added to that of each variant.
    first, *others = (phase.names[0] for phase in explorer.phases)
    before = sum(explorer.seconds.get(name, 0.0) for name in others)
    score, slice_score = way.score(explorer, settings, pca)
    seconds = sum(explorer.seconds.get(name, 0.0) for name in (first, *others)) - before
    if look and way.of == "pixel":
        look(case, explorer)
    clear, _ = case.of_slices()
    brain = case.grid.mask.any((1, 2))
    voxels, more = case.on_truth(score), details(case, explorer) if details and way.of == "pixel" else np.zeros(0)
    return CaseResult(voxels, slice_score[clear], float(slice_score[brain].sum()), seconds, more)


def overall_table(rows: list[Row]) -> str:
    """Make a Markdown table of the methods on all cases."""
    lines = ["| method | slice AUROC | slice AP | voxel AUROC | voxel AP | best Dice |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.kind == "all":
            numbers = (row.slices.auroc, row.slices.ap, row.voxels.auroc, row.voxels.ap, row.voxels.dice)
            lines.append(f"| {row.method} | " + " | ".join(map(in_table, numbers)) + " |")
    return "\n".join(lines)


def kind_table(rows: list[Row], what: str = "ap") -> str:
    """Make a Markdown table of a voxel metric: rows are methods, columns are kinds of cases."""
    kinds = list(dict.fromkeys(r.kind for r in rows if r.kind != "all"))
    methods = list(dict.fromkeys(r.method for r in rows))
    by = {(r.method, r.kind): getattr(r.voxels, what) for r in rows}
    head = f"| {'voxel AP' if what == 'ap' else what} | " + " | ".join(kinds) + " |"
    body = [f"| {m} | " + " | ".join(in_table(by[m, k]) for k in kinds) + " |" for m in methods]
    return "\n".join([head, "|---" * (len(kinds) + 1) + "|", *body])


def write_json(rows: list[Row], path: Path, about: dict) -> None:
    """Write the rows as JSON, with the entries of `about` (bundle and settings).

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, json.dumps({**about, "rows": [asdict(r) for r in rows]}, indent=1) + "\n")
