"""Comparison of tokenizers and priors: each bundle with each of its methods, on the same cases.

After Ishii 2023, tables 5–12. AUROC and AP have columns of their own. F1 and balanced accuracy, which the paper calls
AUC, are measured at a threshold chosen on the validation cases. The paper instead measures them at the best threshold
of the test cases; these values are in `best` and `best_voxels`, for a separate table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.tuned import TunedThresholds
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate import tuning
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import Collected, collect
from napari_vqad.evaluate.metrics import AtThreshold, Ranking, at_best, at_threshold, auroc_interval, in_table, rank
from napari_vqad.evaluate.result_cache import ResultCache
from napari_vqad.evaluate.tuning import Tuning
from napari_vqad.evaluate.variants import SAMPLE, Over, Variant, method_variants, methods_of, settings_of


@dataclass(frozen=True)
class ModelResult:
    """Result of one bundle with one method on the test cases.

    Attributes:
        bundle, method: their names in tables.
        voxels, slices: ranking of all voxels, and of all slices.
        interval: 95 % bootstrap interval of the slices' AUROC, with whole cases resampled.
        at: the slices at the threshold with the best balanced accuracy on the validation cases.
        scans: ranking of whole scans by the sum of their slices' scores; NaN if all or none contain an anomaly.
        scans_interval: as `interval`, of `scans`.
        n_scans: number of scans with and without an anomaly.
        seconds: time per slice, from pixels to restorations, on the computer that made the table.
        best, best_voxels: slices and voxels at the best threshold for the test cases themselves: an upper bound.
        tuning: the λ that was chosen on the validation cases; None if the user gave λ or the method uses none.
    """

    bundle: str
    method: str
    voxels: Ranking
    slices: Ranking
    interval: tuple[float, float]
    at: AtThreshold
    scans: Ranking
    scans_interval: tuple[float, float]
    n_scans: tuple[int, int]
    seconds: float
    best: AtThreshold
    best_voxels: AtThreshold
    tuning: Tuning | None = None


def compare_models(
    bundle: Bundle,
    validation: Sequence[Case],
    test: Sequence[Case],
    settings: Settings,
    methods: tuple[str, ...] = (),
    report: Callable[[str], None] = print,
    over: Over = "max",
    keep: Path | None = None,
    percentiles: Sequence[float] = (),
    look: Callable[[ModelResult, np.ndarray, np.ndarray], None] | None = None,
) -> list[ModelResult]:
    """Evaluate a bundle with its own slice score ("sample-wise") and with each of its methods.

    Args:
        bundle: the model.
        validation: cases on which λ and the decision threshold are chosen.
        test: cases on which the results are measured.
        settings: settings of all methods. A λ that the user has set is not tuned.
        methods: only these methods; default all.
        report: called with a line of text for each case and each tuned λ.
        over: see `Variant`.
        keep: folder of stored results of cases, to continue an interrupted evaluation.
        percentiles: candidates for λ, as percentiles of the NLL of all codes of the validation cases; no λ is tuned if
            there are none.
        look: called with each result, the scores of the test slices, and which of them are abnormal.

    Returns:
        One result per method.
    """
    fixed = settings.model_fields_set
    settings = settings.model_copy(update=dict(settings_of(bundle, None)))
    ways = method_variants(bundle.detector, methods_of(bundle.detector, methods), False, over)
    cache = ResultCache.of(keep, bundle, settings, over)

    def score(cases: Sequence[Case], variants: list[Variant]) -> Collected:
        return collect(bundle, cases, settings, variants, None, report, cache=cache)

    found_by = {way.name: tuning.tuned_by(bundle.detector, way) for way in ways} if percentiles else {}
    specs = {name: spec for name, spec in found_by.items() if spec and spec.setting not in fixed}
    tables = {spec.table for spec in specs.values()}
    values = tuning.values_of(Explorer(bundle, settings), validation, tables) if tables else {}
    lines = []
    for way in ways:
        chosen, tuned = way, None
        if spec := specs.get(way.name):
            tried = tuning.candidates(way, spec, values[spec.table], percentiles)
            tuned = tuning.tuning_of(way, spec, tried, percentiles, score(validation, tried))
            chosen = tried[tuned.tried.index(tuned.chosen)]
            report(f"{bundle.title}, {way.name}: {spec.setting} {tuned.chosen.value:.2f} {spec.unit}")
        found = score(test, [chosen])
        line = _line(bundle, way.name, chosen.name, score(validation, [chosen]), found, tuned)
        if look:
            look(line, *found.of("slices", chosen.name))
        lines.append(line)
    return lines


def _line(
    bundle: Bundle, method: str, name: str, validation: Collected, found: Collected, tuned: Tuning | None
) -> ModelResult:
    threshold = at_best(*validation.of("slices", name)).threshold
    scores, truth = found.of("slices", name)
    voxels = found.of("voxels", name)
    scans, held = np.array(found.scans[name]).T
    return ModelResult(
        bundle.title,
        method,
        rank(*voxels),
        rank(scores, truth),
        auroc_interval([pair for kind in found.kinds for pair in found.slices.get((name, kind), [])]),
        at_threshold(scores, truth, threshold),
        rank(scans, held),
        auroc_interval([([score], [answer]) for score, answer in zip(scans, held, strict=True)]),
        (int(held.sum()), int((1 - held).sum())),
        found.seconds[name] / max(found.n_slices, 1),
        at_best(scores, truth),
        at_best(*voxels),
        tuned,
    )


def tuned_thresholds(bundle: Bundle, lines: Sequence[ModelResult], on: str) -> TunedThresholds:
    """Combine the chosen λ with those in the bundle for other methods on the same data; `on` names data and measure."""
    before = bundle.tuned if bundle.tuned and bundle.tuned.on == on else None
    slices, variants = (dict(before.slices), dict(before.variants)) if before else ({}, {})
    for tuned in (line.tuning for line in lines if line.tuning):
        if tuned.method == SAMPLE:
            slices[tuned.setting] = round(tuned.chosen.value, 4)
        else:
            variants[tuned.method] = {tuned.setting: round(tuned.chosen.value, 4)}
    return TunedThresholds(weights=bundle.weights, on=on, slices=slices, variants=variants)


def table(lines: list[ModelResult], what: str = "slice", digits: int = 2) -> str:
    """Make a Markdown table of metrics and times; F1 and balanced accuracy are at the validation threshold."""
    part = "voxel" if what == "slice" else "pixel"
    head = (
        f"| tokenizer + prior | method | λ | {what} AUROC (95 % interval) | {what} AP | F1 | balanced accuracy "
        f"| {part} AUROC | {part} AP | best Dice | s a {what} |"
    )
    body = []
    for line in lines:
        low, high = line.interval
        numbers = (line.slices.ap, line.at.f1, line.at.balanced, line.voxels.auroc, line.voxels.ap, line.voxels.dice)
        cells = [
            line.bundle,
            line.method,
            in_words(line.tuning),
            f"{line.slices.auroc:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})",
            *(in_table(n, digits) for n in numbers),
            f"{line.seconds:.3f}",
        ]
        body.append(f"| {' | '.join(cells)} |")
    return "\n".join([head, "|---" * 11 + "|", *body])


def scan_table(lines: list[ModelResult]) -> str:
    """Markdown: how each pair ranks whole scans, by the sum of their slices' scores."""
    held, without = lines[0].n_scans
    head = (
        f"| tokenizer + prior | method | AUROC of {held} scans with and {without} without an anomaly (95 % interval) |"
    )
    body = []
    for x in lines:
        low, high = x.scans_interval
        body.append(f"| {x.bundle} | {x.method} | {x.scans.auroc:.2f} ({low:.2f} to {high:.2f}) |")
    return "\n".join([head, "|---|---|---|", *body])


def in_words(tuned: Tuning | None) -> str:
    """Describe the chosen λ, such as "p60, 1.94"; a dash if none was chosen."""
    return "–" if tuned is None else f"p{tuned.chosen.percentile:g}, {tuned.chosen.value:.2f}"


def tuning_tables(lines: list[ModelResult]) -> str:
    """Make a Markdown table for each model of the candidates for λ (Ishii 2023, tables 13–24)."""
    by_model: dict[str, list[Tuning]] = {}
    for line in lines:
        if line.tuning:
            by_model.setdefault(line.bundle, []).append(line.tuning)
    return "\n\n".join(tuning.table(bundle, tunings) for bundle, tunings in by_model.items())


def as_json(lines: list[ModelResult]) -> list[dict]:
    """Convert the results to plain data for JSON."""
    return [asdict(line) for line in lines]
