"""A bundle: a folder with networks, preprocessing, calibration and model card. No file is ever unpickled."""

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

from napari_vqad.detectors.base import BundleConfig, poolings_of
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
from napari_vqad.settings import ADDED_POOLINGS, TUNED, Scale, SharedSettings, flag, is_of_training
from napari_vqad.text import printable

VERSION = 1  # of config.json
SLICES = "slices.json"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, with networks in eval mode on `device`.

    `hash` is the SHA-256 of the bytes that were loaded, equal to `fingerprint` of the folder. `weights` is the SHA-256
    of networks, template and linear model only; a calibration belongs to these.
    """

    folder: Path
    hash: str
    config: BundleConfig
    detector: Detector
    calibration: Calibration
    device: torch.device
    template: Template | None = None  # of a model of aligned heads
    places: NormativeMaps = field(default_factory=NormativeMaps.none)  # of a model of aligned heads
    linear: PCA | None = None  # further evidence for a fused score
    weights: str = ""
    tuned: TunedThresholds | None = None  # values for thresholds that are "tuned"

    @property
    def name(self) -> str:
        """The folder's name, which the command line accepts."""
        return printable(self.folder.name)

    @property
    def title(self) -> str:
        """The title in the list of models."""
        return self.config.title

    # ---- settings -------------------------------------------------------------------------------------------------

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Setting → the values that this bundle allows, the default first: the detector's, and calibrated poolings.

        A bundle that is not calibrated yet allows all poolings.
        """
        default, known = SharedSettings.model_fields["pooling"].default, poolings_of(self.detector)
        variants = self.detector.variants
        lacking = [p for p in ADDED_POOLINGS if all(self._is_uncalibrated(p, variant) for variant in variants)]
        return {
            **self.detector.choices,
            "pooling": tuple(sorted((p for p in known if p not in lacking), key=lambda p: p != default)),
        }

    def _is_uncalibrated(self, pooling: str, variant: str) -> bool:
        """Check whether the bundle is calibrated, but not for a pooling that was added later."""
        known = self.calibration.pixel_score
        return pooling in ADDED_POOLINGS and bool(known) and pixel_kind(variant, pooling, "intensity") not in known

    def _lacks_pooling(self, settings: Settings) -> bool:
        return self._is_uncalibrated(settings.pooling, self.detector.variant(settings))

    def without_pooling(self, settings: Settings) -> str:
        """Return a sentence: which pooling has no healthy scores in this bundle, and how to add them."""
        variant, several = self.detector.variant(settings), len(self.detector.variants) > 1
        return (
            f"{self.title} was calibrated by an earlier version, without pooling '{settings.pooling}'"
            f"{f' for {variant}' if several else ''}; run 'napari-vqad calibrate {self.folder} --missing'."
        )

    def without_training(self, threshold: str) -> str:
        """Return a sentence: there are no training scans' scores that a threshold could be a percentile of."""
        return (
            f"{self.title} has no table of training scans for this pooling, so {threshold} means nothing here; "
            f"give a percentile of held-out scans such as p{threshold[1:]}, or choose pooling 'baur'."
        )

    def replaced(self, settings: Settings) -> list[str]:
        """Return a sentence for each shared setting that `coerce` replaces because a healthy table is missing."""
        used, sentences = self.coerce(settings), []
        if used.pooling != settings.pooling:
            sentences.append(f"{self.without_pooling(settings)} Pooling '{used.pooling}' is used.")
        if used.flag_voxels != settings.flag_voxels:
            sentences.append(f"{self.title} has no table of training scans; voxels are flagged at {used.flag_voxels}.")
        return sentences

    def coerce(self, settings: Settings) -> Settings:
        """Replace each value that this bundle does not allow by the first allowed one, and "tuned" by its number.

        A percentile of training scans ("t98") without such a table becomes that of held-out scans ("p98").

        Raises:
            InputError: a threshold is "tuned" but this bundle has no tuned value for it.
        """
        changed = {name: allowed[0] for name, allowed in self.choices.items() if getattr(settings, name) not in allowed}
        # Allowed values are not updated: pydantic would mark them as set by the user.
        fitting = settings.model_copy(update=changed) if changed else settings
        if self._lacks_pooling(fitting):
            fitting = fitting.model_copy(update={"pooling": self.choices["pooling"][0]})
        if self._lacks_training(fitting):
            fitting = fitting.model_copy(update={"flag_voxels": f"p{str(fitting.flag_voxels)[1:]}"})
        return self._with_tuned(fitting)

    def _lacks_training(self, settings: Settings) -> bool:
        """Check whether the threshold is a percentile of training scans that this bundle has no table of."""
        return is_of_training(settings.flag_voxels) and self.pixel_kind(settings) not in self.calibration.training

    def tuned_value(self, setting: str, settings: Settings) -> float | None:
        """Return the tuned threshold of a setting for the variant in use; None if there is none."""
        return self.tuned.value(setting, self.detector.variant(settings)) if self.tuned else None

    def _with_tuned(self, settings: Settings) -> Settings:
        """Replace each "tuned" by its number."""
        asked = [spec.setting for spec in self.detector.thresholds if getattr(settings, spec.setting) == TUNED]
        found = {name: self.tuned_value(name, settings) for name in asked}
        if lacking := [name for name, value in found.items() if value is None]:
            what = f"{flag(lacking[0])} for {self.detector.variant(settings)}"
            raise InputError(f"{self.title} has no tuned {what}; give a number or a percentile such as p90.")
        return settings.model_copy(update=found) if found else settings

    def validated(self, settings: Settings) -> Settings:
        """Like `coerce`, but refuse values that the user has set.

        Raises:
            InputError: the user has set a value that this bundle does not allow.
        """
        for name, allowed in self.choices.items():
            value = getattr(settings, name)
            of_pooling = name == "pooling" and value in poolings_of(self.detector)  # refused below, with what to do
            if value not in allowed and name in settings.model_fields_set and not of_pooling:
                title = str(type(settings).model_fields[name].title)
                title = title if title.isupper() or title[:3].isupper() else title.lower()
                raise InputError(f"{self.title} has no {title} '{value}'; choose {' or '.join(allowed)}.")
        if self._lacks_pooling(settings) and self.detector.scored is not None:
            raise InputError(self.without_pooling(settings))
        if self._lacks_training(settings) and self.detector.scored is not None:
            raise InputError(self.without_training(str(settings.flag_voxels)))
        return self.coerce(settings)

    def refuse_foreign(self, settings: Settings) -> None:
        """Refuse settings of other detectors, because they would have no effect.

        Raises:
            InputError: the user has set one.
        """
        foreign = settings.model_fields_set - set(self.detector.Settings.model_fields)
        if foreign:
            raise InputError(f"{self.title} has no setting {flag(min(foreign))}.")

    def resolve_own(self, settings: Settings) -> Settings:
        """Convert the detector's own thresholds to numbers; the calibration gives the values of percentiles."""
        settings = self._with_tuned(settings)
        own = {
            spec.setting: self.calibration.value(spec.table, getattr(settings, spec.setting))
            for spec in self.detector.thresholds
        }
        return settings.model_copy(update=own)

    def thresholds(self, settings: Settings) -> dict[str, float]:
        """Return all thresholds as numbers in their own units, by name of the setting."""
        resolved = self.resolve_own(settings)
        own = {spec.setting: float(getattr(resolved, spec.setting)) for spec in self.detector.thresholds}
        own["flag_slices"] = self.slice_value(resolved)
        if self.detector.scored is None:
            return own
        kind = self.pixel_kind(settings)
        return own | {"flag_voxels": self.calibration.value("pixel_score", settings.flag_voxels, kind=kind)}

    # ---- healthy tables -------------------------------------------------------------------------------------------

    def pixel_kind(self, settings: Settings) -> str:
        """Return the name of the pixel score's healthy table; that of "intensity" if the chosen scale has none."""
        variant = self.detector.variant(settings)
        asked = pixel_kind(variant, settings.pooling, settings.score)
        return asked if asked in self.calibration.pixel_score else pixel_kind(variant, settings.pooling, "intensity")

    def scale(self, settings: Settings) -> Scale:
        """Return the scale of the pixel score: "intensity" if the bundle has no normative map for this score."""
        known = pixel_kind(self.detector.variant(settings), settings.pooling, "normative") in self.places
        return settings.score if known else "intensity"

    def shown_scale(self, settings: Settings) -> Scale:
        """Return the scale of the pixel score's healthy table."""
        variant = self.detector.variant(settings)
        scales = (s for s in get_args(Scale) if pixel_kind(variant, settings.pooling, s) == self.pixel_kind(settings))
        return next(scales)

    def slice_kind(self, settings: Settings) -> str | None:
        """Return the name of the slice score's healthy table; None for the detector's own slice score (AS_sample).

        None also if there is no table of slice scores for this pixel score.
        """
        kind = self.pixel_kind(settings)
        pixel = settings.slice_score == "pixel" or self.detector.slice_title is None
        return kind if pixel and kind in self.calibration.slices else None

    def unit(self, scale: str) -> str:
        """Return the unit of the pixel score: that of the pooled map for scale "intensity", else "SD"; "" without."""
        if self.detector.scored is None:
            return ""
        scored = next(spec for spec in self.detector.maps if spec.name == self.detector.scored)
        return scored.unit if scale == "intensity" else "SD"

    def slice_value(self, settings: Settings) -> float:
        """Return the threshold for slices in the unit of the slice score; thresholds of the detector are numbers."""
        calibration, limit = self.calibration, settings.flag_slices
        if (kind := self.slice_kind(settings)) is None:
            if self.detector.slice_title is None:
                return limit if isinstance(limit, float) else np.inf  # the bundle is not calibrated yet
            return calibration.value("slice_score", limit, at=self._level_of_slices(settings))
        return calibration.value("slices", limit, kind=kind)

    def slice_percentile(self, settings: Settings, value: float) -> float:
        """Return the percentage of healthy slices with this score or less; thresholds of the detector are numbers."""
        if (kind := self.slice_kind(settings)) is None:
            if self.detector.slice_title is None:
                return np.nan
            return self.calibration.percentile("slice_score", value, at=self._level_of_slices(settings))
        return self.calibration.percentile("slices", value, kind=kind)

    def _level_of_slices(self, settings: Settings) -> float:
        """Return the healthy percentile of the threshold on which the own slice score depends; 0 without one."""
        spec = next((s for s in self.detector.thresholds if s.setting == self.detector.slice_threshold), None)
        return self.calibration.percentile(spec.table, float(getattr(settings, spec.setting))) if spec else 0.0

    def evidence(self, slices: NDArray, mask: NDArray) -> dict[str, NDArray]:
        """Compute the evidence for a fused score that needs no network: name → (n, H, W), of slices (n, H, W)."""
        if self.linear is None or LINEAR not in self.places:
            return {}
        return {LINEAR: linear_score(self.linear, slices, mask)}

    # ---- files ----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", calibration: Calibration | None = None) -> Bundle:
        """Load a bundle from a folder, or by its name.

        `calibration` replaces calibration.json, which a bundle in training does not have yet.

        Raises:
            InputError: the bundle does not exist, or a file of it is damaged or of another model.
        """
        files, target = Snapshot(find(folder), "bundle"), pick_device(device)
        folder, given = files.folder, calibration
        # Files are read once, in the order of `fingerprint`, so the hash is that of the bytes in use.
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
            # A bundle that is calibrated again still has the normative maps of its last calibration.
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
        """Return the bundle on another device, with new modules; this one does not change."""
        target = pick_device(device)
        return replace(self, detector=self.detector.to(target), device=target)


def same_grid(one: Path, other: Path) -> bool:
    """Check whether two bundles have the same grid and template, so that a scan is resampled alike for both."""
    grid = read_config(one).grid
    if grid != read_config(other).grid:
        return False
    return not grid.aligned or _template_of(one) == _template_of(other)


def read_config(folder: Path) -> Any:
    """Read `config.json` of a bundle, without the weights.

    Raises:
        InputError: the file is missing, damaged, or of a newer version.
    """
    path = folder / "config.json"
    return _config(folder, read_regular(path, limits.JSON, "is missing from the bundle"))


def fingerprint(folder: Path) -> str:
    """Compute the SHA-256 of the files that maps depend on; slices.json is excluded, because it only flags slices."""
    digest = hashlib.sha256()
    networks = detector_class(_kind(read_config(folder))).files
    for name in ("config.json", *networks, LINEAR_FILE, TEMPLATE, "calibration.json", PLACES):
        if has_file(folder, name):
            hash_regular(path_of(folder, name), 2 * limits.WEIGHTS, digest)
    return digest.hexdigest()


def _kind(config: BundleConfig) -> str:
    """Return the kind of detector of a config."""
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
    """Return the calibration, with the healthy slice scores of slices.json if the bundle has them."""
    path = bundle.folder / SLICES
    if not path.exists():
        if bundle.detector.slice_title is None:  # slices could not be flagged
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
