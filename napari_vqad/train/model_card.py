"""The model card of a bundle: data, training, measurements, and limits of use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import Calibration
from napari_vqad.detectors.settings import Settings
from napari_vqad.files.atomic import write_text
from napari_vqad.train.data import Stack
from napari_vqad.train.facts import Facts, Row
from napari_vqad.train.training_log import read_history


def write_card(
    bundle: Bundle, calibration: Calibration, facts: Facts, held_out: Stack, into: Path | None = None
) -> None:
    """Write README.md into the folder of a bundle, or into another one.

    Args:
        bundle: the bundle.
        calibration: its new calibration.
        facts: facts from `facts_of`.
        held_out: the slices on which the facts were measured.
        into: the folder to write into; by default that of the bundle.

    Raises:
        InputError: it cannot be written.
    """
    describe = _of_clips if bundle.config.grid.kind == "clip" else _of_heads
    words = describe(bundle, calibration, int(held_out.scan.max()) + 1, len(held_out))
    write_text((into or bundle.folder) / "README.md", card_of(bundle, calibration, facts, words))


def card_of(bundle: Bundle, calibration: Calibration, facts: Facts, words: Words, calibrate: bool = True) -> str:
    """Return the text of a card; `calibrate` says whether the bundle is calibrated by a command of its own."""
    return f"""# {bundle.config.title}

{bundle.config.description}

{_table(facts.about)}

## Data

{words.data}

## Training

{_training(bundle, calibrate)}

## Measured

{words.held_out}

{_table(facts.measured)}

{_calibrated(bundle, calibration, words)}.

## Limits of use

Research use only, not a medical device. {words.limits}
"""


def _table(rows: Sequence[Row]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)])


def _calibrated(bundle: Bundle, calibration: Calibration, words: Words) -> str:
    """Describe the scores of the calibration scans: of findings, or of slices if there is no pixel score."""
    if bundle.detector.scored is None:
        limit = np.interp(95, calibration.levels, calibration.slice_score["0"])
        slices = f"{calibration.n_slices} slices of {calibration.n_scans} scans"
        return f"Calibrated on {slices}; 95 % of them score below {limit:.1f} {bundle.detector.slice_unit}"
    return f"{words.calibrated}\n{_threshold_of_one_finding(bundle, calibration)}"


def _threshold_of_one_finding(bundle: Bundle, calibration: Calibration) -> str:
    parts = []
    for method in bundle.detector.variants:
        settings = Settings(**bundle.detector.asks_for(method))
        kind = replace(bundle, calibration=calibration).pixel_kind(settings)
        parts.append(f"{kind} {calibration.threshold_for_rate(kind):.2f}")
    return ", ".join(parts)


class Words(NamedTuple):
    """The texts of a card that differ between heads and clips."""

    data: str
    held_out: str
    calibrated: str
    limits: str


def _of_heads(bundle: Bundle, calibration: Calibration, scans: int, slices: int) -> Words:
    return Words(
        data="""128 healthy adults of the [IXI set](https://brain-development.org/ixi-dataset/) (T1, one 3T scanner, 2 mm), skull-stripped by
the DLMUSE parcellation (labels > 0, closed by three voxels, holes filled, largest component). By subject, sorted by file
name: index mod 10 = 0 validation, = 1 calibration, the rest training. The IXI data are CC BY-SA 3.0; so are these weights.""",
        held_out=f"On {scans} validation subjects ({slices} slices), none of them trained on"
        + ("; the held-out loss of the\ntraining was measured on the same subjects:" if _has_loss(bundle) else ":"),
        calibrated=f"""Calibrated on {calibration.n_scans} further subjects ({calibration.n_slices} slices). One false finding (at least
{calibration.finding_voxels} voxels of 2 mm) per healthy scan is to be expected at these pixel scores:""",
        limits=f"""Healthy adults of one scanner and one contrast (T1, no contrast agent): on other
scanners, contrasts, ages or after surgery the scores rise for reasons that are no lesion. {_alignment(bundle)}""",
    )


def _of_clips(bundle: Bundle, calibration: Calibration, scans: int, slices: int) -> Words:
    grid = bundle.config.grid
    assert grid.grey is not None
    mean, sd = grid.grey
    return Words(
        data=f"""UCSD Ped2 (Mahadevan et al., CVPR 2010, to be cited by who uses it), frames of {grid.shape[0]}×{grid.shape[1]}, split as in Ishii 2023: of
the normal frames, those of the test clips among them, 80 % train, 10 % validate, 10 % test; of the abnormal ones 10 % validate,
90 % test. Each run of normal or abnormal frames of a clip is cut into consecutive pieces in this order: neighbours are nearly the
same picture, and a random split would test on twins of what was trained on. Grey values v become (v − {mean:g}) / {sd:g}, which is the
SD that scores are measured in.""",
        held_out=f"""On the normal frames of the validation part ({slices} frames in {scans} pieces), none of them trained on; the held-out
loss of the training was measured on the same frames:""",
        calibrated=f"""Calibrated on these very frames ({calibration.n_slices} in {calibration.n_scans} pieces), since the split has no others to spare: healthy percentiles are a little
low for it. One false finding (at least {calibration.finding_voxels} pixels, over neighbouring frames) per piece is to be expected at these pixel scores:""",
        limits="""One fixed camera over one walkway: before any other picture, and when light or
camera change, all scores rise. Each frame is judged alone; what is abnormal by its speed alone is not seen.""",
    )


def _has_loss(bundle: Bundle) -> bool:
    return any(trained.schedule for trained in read_history(bundle.folder).values())


def _alignment(bundle: Bundle) -> str:
    if bundle.template is None:
        return "Heads are not aligned to a\ntemplate; a strongly tilted head is unlike what was learnt."
    return (
        "Heads are aligned to a\ntemplate by an affine; what is normal at a place was learnt from the calibration "
        "subjects alone, and widened\nventricles and sulci count as abnormal."
    )


def _training(bundle: Bundle, calibrate: bool) -> str:
    history = read_history(bundle.folder)
    if not history:
        return "Not recorded."
    lines = []
    for network, t in history.items():
        s = t.schedule
        if s is None:
            lines.append(t.note or f"The {network} is fitted in one go.")
            continue
        lines.append(
            f"The {network}: {t.loss}; {t.steps} steps of {s.batch} slices, {'AdamW' if s.weight_decay else 'Adam'} at {s.lr:g}"
            f"{' with cosine decay' if s.decay else ''}, seed {s.seed}, the {s.keep} weights kept{' by held-out loss' if s.keep == 'best' else ''}. {t.note}"
        )
    commands = [t.command for t in history.values()]
    commands += [f"napari-vqad calibrate models/{bundle.name} --data DATA"] if calibrate else []
    return "\n\n".join(line.strip() for line in lines) + "\n\n```\n" + "\n".join(commands) + "\n```"
