"""The detector table: every method of every bundle on the same labelled scans, with the measures of the papers.

Slice AUROC and AP, voxel AUROC and AP, best Dice: Marimont & Tarroni 2020, table 1. Dice of each scan (mean and SD) and
seconds of a slice: Baur et al. 2018, table 1. Mean AP of an image: Meissen et al. 2022. Beside them the share of
lesions that are found, and the agreement of neighbouring slices (Baur et al. 2018, figure 5). All detectors have the
same post-processing. Thresholds come from healthy scans: a percentile of the bundle's healthy or training pixel scores,
and its healthy rate of findings. Only "best Dice" is at the threshold that is best on the same scans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Family
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.evaluate.case_details import CaseDetails, details_at
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import CaseScores, collect
from napari_vqad.evaluate.kind_table import OfKinds, of_kinds, rank_subjects
from napari_vqad.evaluate.result_cache import ResultCache
from napari_vqad.evaluate.subject_bootstrap import draws, interval, ratio
from napari_vqad.evaluate.variants import Variant, method_variants, methods_of

# Measure → its title; the more the better, except for false findings. Agreement says nothing of right or wrong.
MEASURES = {
    "slice_auroc": "slice AUROC",
    "slice_ap": "slice AP",
    "voxel_auroc": "voxel AUROC",
    "voxel_ap": "voxel AP",
    "best_dice": "best Dice",
    "dice": "Dice per scan",
    "image_ap": "AP per image",
    "sensitivity": "lesions found",
    "false_findings": "false findings per scan",
    "agreement": "agreement of neighbouring slices",
}


@dataclass(frozen=True)
class Options:
    """What all detectors have in common.

    Attributes:
        settings: settings of the pixel score and its clean-up, and of the detectors.
        percentile: healthy percentile of the threshold for Dice, such as "p98".
        rate: healthy rate of findings at which lesions are counted, such as "1/1".
        methods: only these methods; all if empty.
        evidence: also a row for the detector's own evidence in a fused score, such as the NLL, alone and by place.
    """

    settings: Settings
    percentile: str
    rate: str
    methods: tuple[str, ...] = ()
    evidence: bool = False


@dataclass(frozen=True)
class Row:
    """Result of one method of one bundle. Measures are NaN where a method does not have them.

    Attributes:
        bundle, title, family, method: the bundle's name and title, the detector's family, and the method.
        values: measure → its value over all scans.
        rounds: measure → its value in each round of the bootstrap, (R,).
        dice_sd: SD of Dice over the scans with an anomaly.
        seconds: time of a slice in the detector's stages; NaN for a loss.
        n: subjects, scans, and scans with an anomaly.
        kinds: kind of anomaly → measure → (value, rounds) over the scans of that kind and those without an anomaly; see
            `kind_table`.
    """

    bundle: str
    title: str
    family: Family
    method: str
    values: Mapping[str, float]
    rounds: Mapping[str, NDArray]
    dice_sd: float
    seconds: float
    n: tuple[int, int, int]
    kinds: OfKinds

    @property
    def name(self) -> str:
        """Bundle and method, by which a reference is chosen."""
        return f"{self.bundle} {self.method}"

    def interval(self, measure: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of a measure, with subjects resampled."""
        return interval(self.rounds[measure])

    def difference(self, measure: str, other: Row) -> tuple[float, tuple[float, float]]:
        """Return by how much a measure exceeds that of another row, and its interval over the same subjects."""
        apart = self.values[measure] - other.values[measure]
        return apart, interval(self.rounds[measure] - other.rounds[measure])


def rows_of(
    bundle: Bundle,
    cases: Sequence[Case],
    options: Options,
    keep: Path | None = None,
    report: Callable[[str], None] = print,
) -> list[Row]:
    """Evaluate the methods of a bundle, one row each: its own slice score, its variants, and the loss of its networks.

    Args:
        bundle: the model.
        cases: labelled cases on its grid.
        options: settings and thresholds.
        keep: folder of stored results of cases, to continue an interrupted evaluation.
        report: called with a line of text for each case.

    Raises:
        InputError: the bundle does not allow the settings.
    """
    settings = settings_for(bundle, options)
    ways = ways_of(bundle, options.methods) + (evidence_of(bundle) if options.evidence else [])
    also = f"max {options.percentile} {options.rate} {' '.join(CaseDetails._fields)}"
    cache = ResultCache.of(keep, bundle, settings, also)
    details = details_at(options.percentile, options.rate)
    found = collect(bundle, cases, settings, ways, None, report, cache=cache, details=details)
    # The loss runs the networks apart from the stages, which are what is timed.
    seconds = {w.name: np.nan if w.of == "loss" else found.seconds[w.name] / max(found.n_slices, 1) for w in ways}
    return [_row(bundle, way, list(found.cases(way.name)), seconds[way.name]) for way in ways]


def ways_of(bundle: Bundle, methods: Sequence[str]) -> list[Variant]:
    """Return the variants to evaluate; by default all methods of the detector, and the loss of its networks."""
    detector = bundle.detector
    loss = [detector.loss_title] if detector.loss_title else []
    wanted = methods or [*methods_of(detector), *loss]
    return method_variants(detector, methods_of(detector, wanted), False)


def evidence_of(bundle: Bundle) -> list[Variant]:
    """Return a variant for each evidence of the detector's own in its fused score, such as the NLL, by place."""
    titles = {spec.name: spec.title for spec in bundle.detector.maps}
    own = [name for name in bundle.detector.fused if name in bundle.places]
    return [Variant(f"{titles.get(name, name)}, by place", "evidence", evidence=(name,)) for name in own]


def settings_for(bundle: Bundle, options: Options) -> Settings:
    """Return the settings with the first of the bundle's wanted variants.

    Raises:
        InputError: the bundle does not allow the settings, for instance because it has no healthy tables of a variant.
    """
    variants = bundle.detector.variants
    wanted = [v for v in variants if not options.methods or v in options.methods] or variants
    asked = [options.settings.model_copy(update=dict(bundle.detector.asks_for(variant))) for variant in wanted]
    first, *_others = [bundle.validated(settings) for settings in asked]
    return first


def find_row(rows: Sequence[Row], name: str) -> Row:
    """Return the row of a bundle, the first one that has pixel scores; or of a bundle and a method.

    Raises:
        InputError: there is no such row.
    """
    of_bundle = [row for row in rows if row.bundle == name]
    scored = [row for row in of_bundle if np.isfinite(row.values["dice"])]
    found = [row for row in rows if row.name == name] or scored or of_bundle
    if not found:
        raise InputError(f"There is no row '{name}' for --reference; there are {', '.join(row.name for row in rows)}.")
    return found[0]


def _row(bundle: Bundle, way: Variant, cases: Sequence[CaseScores], seconds: float) -> Row:
    subjects = list(dict.fromkeys(case.subject for case in sorted(cases, key=lambda case: case.subject)))
    weights = draws(len(subjects))
    details = [(case.subject, CaseDetails.of_vector(case.details)) for case in cases]
    values: dict[str, float] = dict.fromkeys(MEASURES, np.nan)
    rounds = {measure: np.full(len(weights), np.nan) for measure in MEASURES}

    def add(measure: str, value: float, of_rounds: NDArray) -> None:
        values[measure], rounds[measure] = value, of_rounds

    def add_ratio(measure: str, parts: Callable[[CaseDetails], tuple[float, float]]) -> None:
        sums = {subject: np.zeros(2) for subject in subjects}
        for subject, one in details:
            sums[subject] += parts(one)
        above, below = np.array(list(sums.values())).T
        once = np.ones((1, len(subjects)))
        add(measure, float(ratio(above, below, once)[0]), ratio(above, below, weights))

    slices = {s: [case.slices for case in cases if case.subject == s] for s in subjects}
    whole, of_rounds = rank_subjects(slices, weights)
    add("slice_auroc", whole.auroc, of_rounds.auroc)
    add("slice_ap", whole.ap, of_rounds.ap)
    if way.of != "loss":  # it has one number for all voxels of a slice
        voxels = {s: [case.voxels for case in cases if case.subject == s] for s in subjects}
        whole, of_rounds = rank_subjects(voxels, weights)
        add("voxel_auroc", whole.auroc, of_rounds.auroc)
        add("voxel_ap", whole.ap, of_rounds.ap)
        add("best_dice", whole.dice, of_rounds.dice)
    dice = np.array([one.dice for _, one in details])
    if way.of == "pixel":
        add_ratio("dice", lambda one: (np.nan_to_num(one.dice), float(one.positives > 0)))
        add_ratio("image_ap", lambda one: (one.image_ap.sum(), len(one.image_ap)))
        add_ratio("sensitivity", lambda one: (one.found, one.lesions))
        add_ratio("false_findings", lambda one: (one.false, 1.0))
        add_ratio("agreement", lambda one: (one.shared, one.paired))
    known = dice[np.isfinite(dice)]
    abnormal = sum(bool(case.voxels[1].any()) for case in cases)
    return Row(
        bundle.name,
        bundle.title,
        bundle.detector.family,
        way.name,
        values,
        rounds,
        float(known.std(ddof=1)) if len(known) > 1 else np.nan,
        seconds,
        (len(subjects), len(cases), abnormal),
        of_kinds(cases, subjects, weights, voxels=way.of != "loss"),
    )
