"""Fitness verdicts on several scans, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.fitness import Fitness
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_mask


@dataclass(frozen=True)
class Row:
    """A scan: its fitness, or why it was refused, and notes on what the reader had to guess."""

    name: str
    fitness: Fitness | None
    refused: str = ""
    notes: tuple[str, ...] = ()


def evaluate_fitness(bundle: Bundle, settings: Settings, scan: Path, mask: Path | None = None) -> Row:
    """Analyse a scan and check whether it fits the model; without `mask`, the brain mask is computed."""
    try:
        volume = load_scan(scan)
        brain = read_mask(mask, volume) if mask else make_mask(volume).voxels
        explorer = Explorer(bundle, settings)
        explorer.load_scan(volume, brain)
        for _ in explorer.work():
            pass
    except InputError as error:
        return Row(scan.name, None, str(error))
    return Row(scan.name, explorer.fitness(), "", volume.notes)


def table(rows: Iterable[Row]) -> str:
    """Make a Markdown table with one row per scan."""
    lines = [
        "| scan | verdict | brain, mL | contrast | flagged slices | why, and what was guessed |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row.fitness is None:
            lines.append(f"| {row.name} | refused | | | | {row.refused} |")
            continue
        m = row.fitness.measured
        numbers = (f"{m['brain_ml']:.0f}", f"{m.get('contrast', float('nan')):.2f}", f"{m.get('flagged_share', 0):.0%}")
        words = " ".join((*row.fitness.doubts, *row.notes))
        lines.append(f"| {row.name} | {'fits' if row.fitness.fits else 'doubtful'} | {' | '.join(numbers)} | {words} |")
    return "\n".join(lines)
