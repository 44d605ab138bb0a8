"""A bundle: networks, preprocessing, calibration and card, as one folder. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.bundle_checks import check_agreement, check_grid
from napari_vqad.detectors.calibration import Calibration, SliceTables, pixel_kind
from napari_vqad.detectors.library import find
from napari_vqad.detectors.pca import FILE as LINEAR_FILE
from napari_vqad.detectors.pca import PCA, linear_score
from napari_vqad.detectors.protocol import Detector
from napari_vqad.detectors.registry import DEFAULT, DETECTORS, detector_class
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.tuned import TunedThresholds, read_tuned
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.jsonfile import parse_json, read_json, short, validated
from napari_vqad.files.regular import hash_regular, read_regular
from napari_vqad.files.shared import has_file, path_of, read_file
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.imaging.template import Template
from napari_vqad.nets.device import pick_device
from napari_vqad.scores.fusion import LINEAR
from napari_vqad.scores.normative import FILE as PLACES
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.settings import TUNED, Scale, flag
from napari_vqad.text import printable

VERSION = 1  # of config.json
SLICES = "slices.json"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, its networks in eval mode on `device`.

    `hash` is that of the very bytes it was loaded from, as `fingerprint` makes it of a folder; `weights` that of the
    networks, template and linear model alone, which a calibration belongs to.
    """

    folder: Path
    hash: str
    config: BundleConfig
    detector: Detector
    calibration: Calibration
    device: torch.device
    template: Template | None = None  # of a model that knows aligned heads
    places: NormativeMaps = field(default_factory=NormativeMaps.none)  # what is normal where, of such a model
    linear: PCA | None = None  # evidence of a fused score, beside that of the detector
    weights: str = ""
    tuned: TunedThresholds | None = None  # thresholds for the value "tuned"

    @property
    def name(self) -> str:
        """The folder's name, by which the command line knows it."""
        return printable(self.folder.name)

    @property
    def title(self) -> str:
        """What the list of models shows."""
        return self.config.title

    # ---- settings -------------------------------------------------------------------------------------------------

    def coerce(self, settings: Settings) -> Settings:
        """The settings with values that this bundle allows: its first, where theirs is another's.

        Raises:
            InputError: a threshold is "tuned", and this bundle has no tuned value for it.
        """
        changed = {
            name: allowed[0]
            for name, allowed in self.detector.choices.items()
            if getattr(settings, name) not in allowed
        }
        # What fits is left as it is: a copy would count as chosen by the user.
        fitting = settings.model_copy(update=changed) if changed else settings
        return self._with_tuned(fitting)

    def tuned_value(self, setting: str, settings: Settings) -> float | None:
        """The tuned threshold of a setting for the variant that the settings ask for; None where there is none."""
        return self.tuned.value(setting, self.detector.variant(settings)) if self.tuned else None

    def _with_tuned(self, settings: Settings) -> Settings:
        """The settings with a number in place of each "tuned"."""
        asked = [spec.setting for spec in self.detector.thresholds if getattr(settings, spec.setting) == TUNED]
        found = {name: self.tuned_value(name, settings) for name in asked}
        if lacking := [name for name, value in found.items() if value is None]:
            what = f"{flag(lacking[0])} for {self.detector.variant(settings)}"
            raise InputError(f"{self.title} has no tuned {what}; give a number or a percentile such as p90.")
        return settings.model_copy(update=found) if found else settings

    def validated(self, settings: Settings) -> Settings:
        """As `coerce`, where the user has not chosen otherwise.

        Raises:
            InputError: a value was chosen that this bundle does not allow.
        """
        for name, allowed in self.detector.choices.items():
            value = getattr(settings, name)
            if value not in allowed and name in settings.model_fields_set:
                title = str(type(settings).model_fields[name].title)
                title = title if title.isupper() or title[:3].isupper() else title.lower()
                raise InputError(f"{self.title} has no {title} '{value}'; choose {' or '.join(allowed)}.")
        return self.coerce(settings)

    def refuse_foreign(self, settings: Settings) -> None:
        """Refuse settings of other detectors that the user has chosen: they would change nothing.

        Raises:
            InputError: there is one.
        """
        foreign = settings.model_fields_set - set(self.detector.Settings.model_fields)
        if foreign:
            raise InputError(f"{self.title} has no setting {flag(min(foreign))}.")

    def resolve_own(self, settings: Settings) -> Settings:
        """The settings with the detector's own thresholds as numbers: percentiles looked up in the calibration."""
        settings = self._with_tuned(settings)
        own = {
            spec.setting: self.calibration.value(spec.table, getattr(settings, spec.setting))
            for spec in self.detector.thresholds
        }
        return settings.model_copy(update=own)

    def thresholds(self, settings: Settings) -> dict[str, float]:
        """Every threshold as a number in its own unit, by the name of the setting."""
        resolved = self.resolve_own(settings)
        own = {spec.setting: float(getattr(resolved, spec.setting)) for spec in self.detector.thresholds}
        kind = self.pixel_kind(settings)
        voxels = self.calibration.value("pixel_score", settings.flag_voxels, kind=kind)
        return own | {"flag_voxels": voxels, "flag_slices": self.slice_value(resolved)}

    # ---- healthy tables -------------------------------------------------------------------------------------------

    def pixel_kind(self, settings: Settings) -> str:
        """The healthy table of the pixel score that the settings ask for; of SD of intensity without normative maps."""
        variant = self.detector.variant(settings)
        asked = pixel_kind(variant, settings.pooling, settings.score)
        return asked if asked in self.calibration.pixel_score else pixel_kind(variant, settings.pooling, "intensity")

    def scale(self, settings: Settings) -> Scale:
        """The unit of the pixel score: as the settings ask where the bundle has normative maps, else "intensity"."""
        known = pixel_kind(self.detector.variant(settings), settings.pooling, "normative") in self.places
        return settings.score if known else "intensity"

    def shown_scale(self, settings: Settings) -> Scale:
        """The unit that the healthy table of the pixel score is in."""
        variant = self.detector.variant(settings)
        scales = (s for s in get_args(Scale) if pixel_kind(variant, settings.pooling, s) == self.pixel_kind(settings))
        return next(scales)

    def slice_kind(self, settings: Settings) -> str | None:
        """The healthy table of the slice score; None for the score of the networks alone (AS_sample).

        That, too, where the healthy slice scores of the pixel score are not known.
        """
        kind = self.pixel_kind(settings)
        pixel = settings.slice_score == "pixel" or self.detector.slice_title is None
        return kind if pixel and kind in self.calibration.slices else None

    def unit(self, scale: str) -> str:
        """The unit of pixel scores in short: "SD" of normative scales, else that of the map that is pooled."""
        scored = next(spec for spec in self.detector.maps if spec.name == self.detector.scored)
        return scored.unit if scale == "intensity" else "SD"

    def slice_value(self, settings: Settings) -> float:
        """The threshold for slices in the unit of the slice score; other thresholds are resolved already."""
        calibration, limit = self.calibration, settings.flag_slices
        if (kind := self.slice_kind(settings)) is None:
            if self.detector.slice_title is None:
                return limit if isinstance(limit, float) else np.inf  # a bundle that is not calibrated yet
            return calibration.value("slice_score", limit, lambda_s=float(settings.lambda_s))
        return calibration.value("slices", limit, kind=kind)

    def slice_percentile(self, settings: Settings, value: float) -> float:
        """Share of healthy slices whose slice score lies at or below `value`, 0 to 100; thresholds are resolved."""
        if (kind := self.slice_kind(settings)) is None:
            if self.detector.slice_title is None:
                return np.nan
            return self.calibration.percentile("slice_score", value, lambda_s=float(settings.lambda_s))
        return self.calibration.percentile("slices", value, kind=kind)

    def evidence(self, slices: NDArray, mask: NDArray) -> dict[str, NDArray]:
        """Evidence of a fused score that needs no network, (n, H, W) each, by name, of slices (n, H, W)."""
        if self.linear is None or LINEAR not in self.places:
            return {}
        return {LINEAR: linear_score(self.linear, slices, mask)}

    # ---- files ----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", calibration: Calibration | None = None) -> Bundle:
        """Load a bundle by its folder, or by its name under models/.

        `calibration` stands in for calibration.json, which a bundle in training does not have yet.

        Raises:
            InputError: it does not exist or does not fit; the sentence says what and where.
        """
        files, target = Snapshot(find(folder), "bundle"), pick_device(device)
        folder, given = files.folder, calibration
        # In the order of `fingerprint`: each file is read once, and the hash is of what was read.
        config = _config(folder, files.read("config.json", limits.JSON))
        detector = detector_class(_kind(config)).load(config, files)
        parts = {name: files.read(name, limits.TABLES, True) for name in (LINEAR_FILE, TEMPLATE) if files.has(name)}
        raw = files.read("calibration.json", limits.JSON) if files.has("calibration.json") or given is None else b""
        if files.has(PLACES):
            parts[PLACES] = files.read(PLACES, limits.TABLES)
        calibration = given or validated(
            Calibration, parse_json(raw, folder / "calibration.json"), folder / "calibration.json"
        )
        template, places, linear = None, NormativeMaps.none(), None
        if config.grid.aligned:
            template = Template.parse(_there(parts, folder / TEMPLATE), folder / TEMPLATE)
            if LINEAR_FILE in parts:
                linear = PCA.parse(parts[LINEAR_FILE], folder / LINEAR_FILE, config.grid.shape)
            # A bundle that is about to be calibrated may have those of its last calibration.
            if PLACES in parts and given is None:
                places = NormativeMaps.parse(parts[PLACES], folder / PLACES)
        loaded = cls(
            folder,
            files.all.hexdigest(),
            config,
            detector.to(target),
            calibration,
            target,
            template,
            places,
            linear,
            files.weights.hexdigest(),
        )
        check_grid(folder, config.grid, template)
        if given is None:
            check_agreement(folder, calibration, detector, template, places, linear, loaded.weights)
        if given is not None:
            return loaded
        return replace(loaded, calibration=_with_slices(loaded), tuned=read_tuned(folder, loaded.weights))

    def to(self, device: str) -> Bundle:
        """The same bundle on another device, with new modules; this one stays as it is."""
        target = pick_device(device)
        return replace(self, detector=self.detector.to(target), device=target)


def same_grid(one: Path, other: Path) -> bool:
    """Does a scan lie on the grid of both bundles in the same way?"""
    grid = read_config(one).grid
    if grid != read_config(other).grid:
        return False
    return not grid.aligned or _template_of(one) == _template_of(other)


def read_config(folder: Path) -> Any:
    """`config.json` of a bundle, without its weights.

    Raises:
        InputError: it is missing, does not fit, or is of a newer version.
    """
    path = folder / "config.json"
    return _config(folder, read_regular(path, limits.JSON, "is missing from the bundle"))


def fingerprint(folder: Path) -> str:
    """sha256 over what decides the maps: config, weights, template, calibration; not slices.json, which flags alone."""
    digest = hashlib.sha256()
    networks = detector_class(_kind(read_config(folder))).files
    for name in ("config.json", *networks, LINEAR_FILE, TEMPLATE, "calibration.json", PLACES):
        if has_file(folder, name):
            hash_regular(path_of(folder, name), 2 * limits.WEIGHTS, digest)
    return digest.hexdigest()


def _kind(config: BundleConfig) -> str:
    """The kind of detector that a config is of."""
    return str(getattr(config, "detector", DEFAULT))


def _config(folder: Path, raw: bytes) -> Any:
    path = folder / "config.json"
    given = parse_json(raw, path)
    version = given.get("version", VERSION) if isinstance(given, dict) else VERSION
    if type(version) is int and version > VERSION:
        raise InputError(
            f"{path} is of version {version}, newer than this napari-vqad, which reads version {VERSION}; upgrade it."
        )
    kind = given.get("detector", DEFAULT) if isinstance(given, dict) else DEFAULT
    if not isinstance(kind, str) or kind not in DETECTORS:
        raise InputError(f"{path} names the detector '{short(str(kind))}'; there are {', '.join(DETECTORS)}.")
    return validated(detector_class(kind).Config, given, path)


def _with_slices(bundle: Bundle) -> Calibration:
    """Its calibration, with healthy slice scores where the bundle has some."""
    path = bundle.folder / SLICES
    if not path.exists():
        if bundle.detector.slice_title is None:  # nothing else could flag slices
            raise InputError(f"{path} is missing from the bundle; run 'napari-vqad calibrate {bundle.folder}'.")
        return bundle.calibration
    tables = validated(SliceTables, read_json(path), path)
    if tables.weights != bundle.weights or not set(tables.slices) <= set(bundle.calibration.pixel_score):
        raise InputError(f"{path} is of another model; run 'napari-vqad calibrate {bundle.folder} --slices'.")
    try:
        return bundle.calibration.with_slices(tables)
    except ValidationError as error:
        raise InputError(f"{path} does not fit: {short(error)}.") from error


def _there(parts: Mapping[str, bytes], path: Path) -> bytes:
    if path.name not in parts:
        raise InputError(f"{path} is missing from the bundle.")
    return parts[path.name]


def _template_of(folder: Path) -> bytes:
    return read_file(folder, TEMPLATE, limits.TABLES, "is missing from the bundle")
