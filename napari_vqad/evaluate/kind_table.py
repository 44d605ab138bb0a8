"""Measures by kind of anomaly: the scans of one kind together with all scans without an anomaly.

A test set has few scans of a kind, so intervals are wide; they are over the same rounds of subjects as the detector
table, so differences between detectors are paired. A round without a scan of the kind does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vqad.evaluate.cases import NORMAL
from napari_vqad.evaluate.experiment import CaseScores, Pair
from napari_vqad.evaluate.metrics import Ranking, rank
from napari_vqad.evaluate.subject_bootstrap import Ranked, ranked

KIND_MEASURES = {"voxel_ap": "voxel AP", "slice_auroc": "slice AUROC"}
OfKinds = Mapping[str, Mapping[str, tuple[float, NDArray]]]  # kind → measure → value, and that of each round (R,)


def of_kinds(cases: Sequence[CaseScores], subjects: Sequence[str], weights: NDArray, voxels: bool) -> OfKinds:
    """Compute the measures of each kind of anomaly; an empty dict if all anomalies are of one kind.

    Args:
        cases: the cases of all kinds.
        subjects: all subjects, in the order of the weights.
        weights: how often each round of the bootstrap draws each subject, (R, subjects).
        voxels: False if scores of voxels mean nothing; then the AP of voxels is NaN.
    """
    kinds = list(dict.fromkeys(case.kind for case in cases if case.kind != NORMAL))
    if len(kinds) < 2:
        return {}
    found = {}
    for kind in kinds:
        counted = [case for case in cases if case.kind in (kind, NORMAL)]
        there = [s for s in subjects if any(case.subject == s for case in counted)]
        drawn = weights[:, [subjects.index(s) for s in there]]
        slices, of_slices = rank_subjects({s: [c.slices for c in counted if c.subject == s] for s in there}, drawn)
        none = np.full(len(weights), np.nan)
        ap: tuple[float, NDArray] = (np.nan, none)
        if voxels:
            whole, rounds = rank_subjects({s: [c.voxels for c in counted if c.subject == s] for s in there}, drawn)
            ap = whole.ap, rounds.ap
        found[kind] = {"voxel_ap": ap, "slice_auroc": (slices.auroc, of_slices.auroc)}
    return found


def rank_subjects(by_subject: Mapping[str, Sequence[Pair]], weights: NDArray) -> tuple[Ranking, Ranked]:
    """Rank exactly over all cases of all subjects, and in each round of the bootstrap."""
    pairs = [pair for cases in by_subject.values() for pair in cases]
    scores, labels = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return rank(scores, labels), ranked(by_subject, weights)
