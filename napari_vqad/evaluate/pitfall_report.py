"""Results of the pitfall experiments as Markdown, CSV and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from napari_vqad.evaluate.pitfall_models import RESIDUAL
from napari_vqad.evaluate.pitfalls import Images, ModelCurves, best_matching_blur, blind_spot
from napari_vqad.evaluate.subject_bootstrap import draws, interval, ratio
from napari_vqad.export.tables import table_csv
from napari_vqad.files.atomic import atomic_folder

FILES = ("pitfalls.md", "pitfalls.csv", "pitfalls.png")
TWENTY = tuple(colormaps["tab20"](i) for i in range(20))  # for more than ten models
MARKED = 0.5  # voxels; the blur at which experiment 1 is described, where blur begins to act


@dataclass(frozen=True)
class Brightness:
    """Intensities of one labelled scan (appendix D).

    Attributes:
        name: the scan.
        normal, lesion: intensities of the voxels within the brain, 0 to 1.
        auroc: probability that a lesion voxel is brighter than a normal voxel.
    """

    name: str
    normal: NDArray
    lesion: NDArray
    auroc: float


@dataclass(frozen=True)
class Results:
    """Everything that was measured.

    Attributes:
        images: the healthy slices with their discs.
        spacing: mm of a voxel.
        intensities, sigmas: the grid of experiment 1; σ in voxels.
        landscape, equalised: experiment 1 without and with histogram equalisation, (I, σ, N).
        textures: experiment 2, kind → (σ, N).
        models: title of a model → its curves.
        brightness: labelled scans.
    """

    images: Images
    spacing: float
    intensities: Sequence[float]
    sigmas: Sequence[float]
    landscape: NDArray
    equalised: NDArray
    textures: Mapping[str, NDArray]
    models: Mapping[str, ModelCurves] = field(default_factory=dict)
    brightness: Sequence[Brightness] = ()

    @property
    def marked(self) -> int:
        """The index of the blur at which experiment 1 is described."""
        return int(np.abs(np.array(self.sigmas) - MARKED).argmin())

    @property
    def typical(self) -> int:
        """The index of the intensity nearest to the mean of the brain."""
        mean = float(self.images.healthy[self.images.mask].mean())
        return int(np.abs(np.array(self.intensities) - mean).argmin())

    def mean(self, of_images: NDArray) -> tuple[float, float, float]:
        """Return the mean over images (N,), and its 95 % interval with subjects resampled."""
        number = np.unique(self.images.subject, return_inverse=True)[1]
        above, below = (np.bincount(number, w, int(number.max()) + 1) for w in (of_images, None))
        return float(of_images.mean()), *interval(ratio(above, below.astype(float), draws(len(below))))


def write(folder: Path, results: Results, about: Sequence[str]) -> None:
    """Write the three files into a folder, which is created if necessary; `about` are sentences above the tables.

    Raises:
        InputError: the folder cannot be written to.
    """
    with atomic_folder(folder) as new:
        (new / "pitfalls.md").write_text(markdown(results, about), encoding="utf-8")
        (new / "pitfalls.csv").write_text(as_csv(results), encoding="utf-8")
        draw(results).savefig(new / "pitfalls.png", dpi=110)


def markdown(results: Results, about: Sequence[str]) -> str:
    """Describe each experiment in a few lines and tables; in brackets are 95 % intervals over subjects."""
    lines = ["# Pitfalls of the residual (Meissen et al. 2022)", "", *about, "", *_without_models(results)]
    if results.models:
        lines += ["", "## Models", "", *_model_table(results), "", *_texture_table(results), "", *_order(results)]
    if results.brightness:
        lines += ["", "## Intensity of lesions (appendix D)", "", *_brightness_table(results.brightness)]
    return "\n".join(lines) + "\n"


def _without_models(r: Results) -> list[str]:
    sigma, typical = r.sigmas[r.marked], r.intensities[r.typical]
    lines = [f"## A healthy image, blurred with σ = {sigma:g} voxels ({sigma * r.spacing:g} mm)", ""]
    lines += [
        "| experiment 1 | lowest AP | at intensity | AP below 0.5 from, to | AP at the brightest |",
        "|---" * 5 + "|",
    ]
    for name, surface in (("intensities", r.landscape), ("equalised (appendix C)", r.equalised)):
        dip = blind_spot(surface[:, r.marked], r.intensities)
        at = list(r.intensities).index(dip.lowest)
        lines.append(
            f"| {name} | {_cell(r, surface[at, r.marked])} | {dip.lowest:.2f} | {_range(dip.low, dip.high)} | "
            f"{_cell(r, surface[-1, r.marked])} |"
        )
    patch = r.landscape[r.typical, r.marked]
    lines += ["", f"| experiment 2 | AP | less that of a patch of intensity {typical:.2f}, the mean of the brain |"]
    lines += ["|---" * 3 + "|", f"| patch | {_cell(r, patch)} | |"]
    for kind, ap in r.textures.items():
        lines.append(f"| {kind} | {_cell(r, ap[r.marked])} | {_cell(r, ap[r.marked] - patch, '+')} |")
    return lines


def _model_table(r: Results) -> list[str]:
    head = ["model", "error of healthy slices", "best-matching blur (voxels)", "3.1: lowest AP, at intensity"]
    head += ["map", "3.2: mean AP over intensities", "3.2: lowest AP, at intensity", "3.2: AP below 0.5 from, to"]
    lines = [_line(head), "|---" * len(head) + "|"]
    for title, curves in r.models.items():
        dip = blind_spot(curves.healthy_input, r.intensities)
        blur = r.sigmas[best_matching_blur(curves.healthy_input, r.landscape)]
        first = [title, _cell(r, curves.healthy_error, digits=3), f"{blur:g}", f"{dip.ap:.2f}, {dip.lowest:.2f}"]
        for name, curve in curves.anomalous_input.items():
            dip = blind_spot(curve, r.intensities)
            rest = [name, _cell(r, curve.mean(0)), f"{dip.ap:.2f}, {dip.lowest:.2f}", _range(dip.low, dip.high)]
            lines.append(_line([*first, *rest]))
            first = [""] * 4
    return lines


def _texture_table(r: Results) -> list[str]:
    kinds = list(r.textures)
    typical = r.intensities[r.typical]
    lines = [_line(["model", "map", f"patch of intensity {typical:.2f}", *kinds]), "|---" * (len(kinds) + 3) + "|"]
    for title, curves in r.models.items():
        for name, of_kind in curves.texture.items():
            patch = _cell(r, curves.anomalous_input[name][r.typical])
            lines.append(_line([title, name, patch, *(_cell(r, of_kind[kind]) for kind in kinds)]))
    return lines


def _order(r: Results) -> list[str]:
    """The better a model reconstructs, does it detect better or worse?"""
    if len(r.models) < 3:
        return []
    error = [curves.healthy_error.mean() for curves in r.models.values()]

    def correlation(ap: Sequence[float]) -> str:
        return f"{spearmanr(error, ap).statistic:+.2f}"

    healthy = correlation([curves.healthy_input.mean() for curves in r.models.values()])
    anomalous = correlation([curves.anomalous_input[RESIDUAL].mean() for curves in r.models.values()])
    return [
        f"Spearman correlation over {len(error)} models of the error of healthy slices with the mean AP of the "
        f"residual: healthy input (3.1) {healthy}, anomalous input (3.2) {anomalous}. A positive value says that "
        "models that reconstruct worse detect better."
    ]


def _brightness_table(scans: Sequence[Brightness]) -> list[str]:
    lines = [
        "| scan | a lesion voxel is brighter than a normal one (AUROC) | median of lesion, of normal |",
        "|---|---|---|",
    ]
    for one in scans:
        middle = f"{np.median(one.lesion):.2f}, {np.median(one.normal):.2f}"
        lines.append(f"| {one.name} | {one.auroc:.2f} | {middle} |")
    return lines


def as_csv(r: Results) -> str:
    """Write one line for each mean AP, with its interval."""
    rows: list[list[object]] = []

    def add(
        experiment: str, model: str, name: str, anomaly: str, intensity: object, sigma: object, ap: NDArray
    ) -> None:
        rows.append([experiment, model, name, anomaly, intensity, sigma, *r.mean(ap)])

    for experiment, surface in (("1", r.landscape), ("C", r.equalised)):
        for i, intensity in enumerate(r.intensities):
            for s, sigma in enumerate(r.sigmas):
                add(experiment, "", "residual", "patch", intensity, sigma, surface[i, s])
    for kind, ap in r.textures.items():
        for s, sigma in enumerate(r.sigmas):
            add("2", "", "residual", kind, "", sigma, ap[s])
    for title, curves in r.models.items():
        for i, intensity in enumerate(r.intensities):
            add("3.1", title, "residual", "patch", intensity, "", curves.healthy_input[i])
            for name, curve in curves.anomalous_input.items():
                add("3.2", title, name, "patch", intensity, "", curve[i])
        for name, of_kind in curves.texture.items():
            for kind, ap in of_kind.items():
                add("3.2", title, name, kind, "", "", ap)
    header = ["experiment", "model", "map", "anomaly", "intensity", "sigma_voxels", "mean_ap", "low", "high"]
    return table_csv(header, rows)


def draw(r: Results) -> Figure:
    """Draw the paper's figures 1 to 3 and 6, 4b, and the histograms of appendix D, one panel each."""
    figure = Figure(figsize=(13, 9.6), layout="constrained")
    panels = figure.subplots(3, 3)
    extent = (r.sigmas[0], r.sigmas[-1], r.intensities[0], r.intensities[-1])
    for axes, surface, title in (
        (panels[0, 0], r.landscape, "1: AP over intensity and blur"),
        (panels[0, 1], r.equalised, "1 with equalised histograms (C)"),
    ):
        shown = axes.imshow(
            surface.mean(2), extent=extent, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="viridis"
        )
        axes.axvline(r.sigmas[r.marked], color="white", lw=1, ls=":")
        _name(axes, title, "blur σ (voxels)", "intensity of the disc")
        figure.colorbar(shown, ax=axes, label="mean AP")
    healthy = r.images.healthy[r.images.mask]
    panels[0, 2].hist(healthy, 60, range=(0, 1), density=True, color="0.6")
    _name(panels[0, 2], "Intensities of the healthy brain", "intensity", "density")
    for kind, ap in r.textures.items():
        panels[1, 0].plot(r.sigmas, ap.mean(1), label=kind)
    panels[1, 0].plot(r.sigmas, r.landscape[r.typical].mean(1), "k--", label=f"patch, {r.intensities[r.typical]:.2f}")
    _name(panels[1, 0], "2: texture", "blur σ (voxels)", "mean AP")
    colours = TWENTY[:: 1 if len(r.models) > 10 else 2]
    for (title, curves), colour in zip(r.models.items(), cycle(colours), strict=False):
        panels[1, 1].plot(r.intensities, curves.healthy_input.mean(1), color=colour, label=title)
        residual = curves.anomalous_input[RESIDUAL].mean(1)
        panels[1, 2].plot(r.intensities, residual, color=colour, label=title)
        for name, curve in curves.anomalous_input.items():
            if name == RESIDUAL:
                continue
            panels[2, 1].plot(r.intensities, curve.mean(1), color=colour, ls="-")
        panels[2, 0].plot(curves.healthy_error.mean(), residual.mean(), "o", color=colour, label=title)
    _name(panels[1, 1], "3.1: x̂ of the healthy slice", "intensity of the disc", "mean AP")
    _name(panels[1, 2], "3.2: x̂ of the anomalous slice, residual", "intensity of the disc", "mean AP")
    _name(panels[2, 0], "3.2: error and AP", "mean |x − x̂| of healthy slices", "mean AP over intensities")
    _name(panels[2, 1], "3.2: maps other than the residual", "intensity of the disc", "mean AP")
    if r.brightness:
        for values, shade, label in (
            (np.concatenate([one.normal for one in r.brightness]), "#3b7dd8", "normal"),
            (np.concatenate([one.lesion for one in r.brightness]), "#e07b00", "lesion"),
        ):
            panels[2, 2].hist(values, 60, range=(0, 1), density=True, alpha=0.55, color=shade, label=label)
        _name(panels[2, 2], "Labelled scans (D)", "intensity", "density")
    else:
        panels[2, 2].set_axis_off()
    for axes in (panels[1, 0], panels[2, 2]):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    models = panels[1, 2].get_legend_handles_labels()
    if models[0]:
        figure.legend(*models, loc="outside lower center", ncols=4, fontsize=7, title="models", title_fontsize=8)
    for axes in (panels[1, 0], panels[1, 1], panels[1, 2], panels[2, 1]):
        axes.set_ylim(0, 1.02)
    return figure


def _name(axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)


def _cell(r: Results, of_images: NDArray, sign: str = "", digits: int = 2) -> str:
    value, low, high = r.mean(of_images)
    return f"{value:{sign}.{digits}f} ({low:{sign}.{digits}f} to {high:{sign}.{digits}f})"


def _range(low: float, high: float) -> str:
    return "nowhere" if np.isnan(low) else f"{low:.2f}, {high:.2f}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
