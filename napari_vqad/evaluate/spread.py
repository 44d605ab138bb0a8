"""How much restorations vary, what more of them do to the score, and what that is worth: claims of two papers.

A-6, A-7 (Marimont & Tarroni 2020): a lower λ_p gives more varied restorations and better pixel results, and several
weighted restorations reduce the variance of the score. B-12 (Ishii 2023): restorations by `light` vary about as much as
those by `sequential`. The measures are in `scores.variation`; restorations differ only in their random draws.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import Pair
from napari_vqad.evaluate.metrics import rank
from napari_vqad.evaluate.subject_bootstrap import draws, interval, ranked, ratio
from napari_vqad.evaluate.variants import settings_of
from napari_vqad.scores.variation import Variance, scores_of_groups, variance


@dataclass(frozen=True)
class Spread:
    """One method of one bundle at one λ_p.

    Attributes:
        bundle, method: their names.
        lambda_p: nats.
        n: subjects, or runs of frames, that are resampled.
        restorations: SD among restorations, √(mean variance of a voxel), in SD of healthy intensity.
        scores: S → SD among pixel scores that are each made of S restorations, in the same unit.
        ap: voxel AP of the pixel score that is made of all restorations.
        rounds: measure ("restorations", "S = 5", "ap") → its value in each round of the bootstrap, (R,).
    """

    bundle: str
    method: str
    lambda_p: float
    n: int
    restorations: float
    scores: Mapping[int, float]
    ap: float
    rounds: Mapping[str, NDArray]


def spread_of(
    bundle: Bundle,
    cases: Sequence[Case],
    method: str,
    lambda_p: Any,
    settings: Settings,
    sizes: Sequence[int],
    report: Callable[[str], None] = print,
) -> Spread:
    """Restore the cases with S = `settings.n_restorations`, and compare the restorations.

    Args:
        bundle: the model.
        cases: labelled cases on its grid.
        method: a restoration method of the bundle.
        lambda_p: as the setting.
        settings: pooling, k, S and all else.
        sizes: numbers of restorations of which scores are made; each at most S/2, so that there are two to compare.
        report: called with a line for each case.

    Raises:
        InputError: there are too few restorations, the bundle has no λ_p, or it does not allow the settings.
    """
    if "lambda_p" not in {spec.setting for spec in bundle.detector.thresholds}:
        raise InputError(f"{bundle.title} restores no codes.")
    s = settings.n_restorations
    if s < 2 or any(not 1 <= size <= s // 2 for size in sizes):
        raise InputError(f"Of {s} restorations scores are compared that are made of 1 to {s // 2} of them.")
    chosen = settings.model_copy(update={**settings_of(bundle, method), "lambda_p": lambda_p, "score": "intensity"})
    explorer = Explorer(bundle, chosen)
    names = ("restorations", *map(_of, sizes))
    found: dict[str, list[tuple[Mapping[str, Variance], Pair]]] = {}
    for case in cases:
        explorer.load_grid(case.grid)
        explorer.finish()
        mask = torch.from_numpy(case.grid.mask)
        stack = np.stack([explorer.map("restoration_j", j) for j in range(s)])
        differences = torch.from_numpy(case.grid.slices[None] - stack)
        groups = [scores_of_groups(differences, mask, n, chosen.k, chosen.distance, chosen.pooling) for n in sizes]
        measured = [variance(maps, mask) for maps in (differences, *groups)]
        pair = case.on_truth(explorer.map("pixel_score")), case.truth[case.counted]
        subject = case.subject or case.name
        found.setdefault(subject, []).append((dict(zip(names, measured, strict=True)), pair))
        report(f"{method}, {case.name}: SD {measured[0].sd:.3f}")
    weights, once = draws(len(found)), np.ones((1, len(found)))
    values, rounds = {}, {}
    for name in names:
        sums = np.array([np.sum([measured[name] for measured, _ in of], axis=0) for of in found.values()]).T
        values[name] = float(ratio(sums[0], sums[1], once)[0] ** 0.5)
        rounds[name] = ratio(sums[0], sums[1], weights) ** 0.5
    pairs = {subject: [pair for _, pair in of] for subject, of in found.items()}
    joined = [np.concatenate(part) for part in zip(*(p for of in pairs.values() for p in of), strict=True)]
    rounds["ap"] = ranked(pairs, weights).ap
    nats = bundle.thresholds(explorer.settings)["lambda_p"]
    scores = {size: values[_of(size)] for size in sizes}
    ap = rank(joined[0], joined[1].astype(bool)).ap
    return Spread(bundle.name, method, nats, len(found), values["restorations"], scores, ap, rounds)


def table(rows: Sequence[Spread]) -> str:
    """Make a Markdown table; ratios and differences are to the first row of the same bundle, on the same subjects."""
    first = {row.bundle: row for row in reversed(rows)}
    sizes = list(rows[0].scores)
    heads = [f"SD of scores, S = {size}" for size in sizes] + [f"S = {b} to S = {sizes[0]}" for b in sizes[1:]]
    head = ["bundle", "method", "λ_p (nats)", "SD of restorations", "to first row", *heads, "voxel AP", "− first row"]
    body = []
    for row in rows:
        other = first[row.bundle]
        same = row is other
        cells = [row.bundle, row.method, f"{row.lambda_p:.2f}"]
        cells += [_with(row.restorations, row.rounds["restorations"], 3)]
        cells += ["–" if same else _over(row, other, "restorations", row.restorations / other.restorations)]
        cells += [_with(row.scores[size], row.rounds[_of(size)], 3) for size in sizes]
        cells += [
            _with(row.scores[b] / row.scores[sizes[0]], row.rounds[_of(b)] / row.rounds[_of(sizes[0])], 2)
            for b in sizes[1:]
        ]
        cells += [_with(row.ap, row.rounds["ap"], 3)]
        cells += ["–" if same else _with(row.ap - other.ap, row.rounds["ap"] - other.rounds["ap"], 3)]
        body.append(f"| {' | '.join(cells)} |")
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body])


def _of(size: int) -> str:
    return f"S = {size}"


def _over(row: Spread, other: Spread, name: str, value: float) -> str:
    with np.errstate(invalid="ignore", divide="ignore"):
        return _with(value, row.rounds[name] / other.rounds[name], 2)


def _with(value: float, rounds: NDArray, digits: int) -> str:
    low, high = interval(rounds)
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
