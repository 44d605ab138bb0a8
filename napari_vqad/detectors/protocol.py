"""The interface of a detector: stages that run its networks, maps computed from their results, and thresholds.

Engine, viewer, command line, calibration, studies and evaluation use only this interface; none of them names a
detector. To add a detector, write a class with these members in a file of this folder and add it to
`detectors/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from numpy.typing import NDArray

from napari_vqad.files.snapshot import Snapshot
from napari_vqad.settings import SharedSettings

if TYPE_CHECKING:  # detectors without networks, and settings, do not need torch
    import torch

Arrays = dict[str, NDArray]  # arrays of one slice, by name; the first axis is that of samples
Role = Literal["evidence", "restoration", "spread", "residual", "inner"]
Family = Literal["vector-quantised", "autoencoder", "gan", "classical", "density"]


@dataclass(frozen=True)
class Stage:
    """A step that runs the networks. The engine runs it slice by slice and stores the results.

    The engine runs consecutive stages with the same `samples` together, a few slices at a time, so that the slice in
    view is complete early.

    Attributes:
        after: the stages whose results it reads.
        settings: the settings on which its results depend.
        samples: the setting with the number of samples per slice; None for a single sample.
        rebuildable: if True, it is quick to run again, and its results are deleted first when memory is short.
        at_once: largest number of slices in a job on a CPU, or of samples of several slices; None if the engine
            derives it from the number of samples.
        focus_alone: if True, the slice in view runs alone, before the others, as it always does with samples; for
            stages that take a second or more for a slice.
    """

    name: str
    title: str
    after: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    samples: str | None = None
    rebuildable: bool = False
    at_once: int | None = None
    focus_alone: bool = False


@dataclass(frozen=True)
class MapSpec:
    """A map: a quantity of each slice, computed from the results of stages without the networks.

    Attributes:
        title: name in layers and buttons.
        unit: "nats", "SD", …
        role: purpose of the map, which determines button, colours and scale. Maps with the role "inner" are
            intermediate values of any shape, which other maps read and the user does not see.
        stage: the last stage that the map needs.
        settings: the settings on which it depends, in addition to those of its stages.
        reads: the other maps that it reads.
        indexed: if True, there is one map for each sample j.
        all_samples: if True, it is computed from all stored samples, which may be more than the settings ask for.
    """

    name: str
    title: str
    unit: str
    role: Role
    stage: str
    settings: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    indexed: bool = False
    all_samples: bool = False


@dataclass(frozen=True)
class ThresholdSpec:
    """A setting that may be a percentile of healthy values.

    Attributes:
        setting: name of the setting.
        table: table of the calibration with the healthy values.
        unit: unit of the values.
        of: the objects that have these values, such as "codes"; the text below the slider names them.
    """

    setting: str
    table: str
    unit: str
    of: str


def _no_check() -> None:
    """Do nothing, so that the work is never stopped."""


@dataclass(frozen=True)
class Job:
    """A batch of slices on which to run a stage.

    Attributes:
        slices: (B, H, W), SD of healthy intensity.
        mask: bool (B, H, W).
        position: (B,), position of each slice in the head, 0 to 1.
        indices: numbers of the slices on the grid, used as keys of the random numbers.
        samples: numbers of the samples to compute.
        settings: settings, with percentiles converted to numbers.
        done: stage → results of an earlier stage, one `Arrays` per slice with all stored samples.
        near: (slice of the job, setting) → pairs (value, results of this stage) for other values of that setting, with
            all other settings equal; the nearest value first.
        check: a function to call often; it raises an exception if the result is no longer needed.
        at_once: number of pictures that the device processes in one batch.
        measurements: (B, H, W, N), diffusion measurements of each voxel, divided by the scan's mean, in the order of
            the model; None if the model knows none.
    """

    slices: NDArray
    mask: NDArray
    position: NDArray
    indices: Sequence[int]
    samples: range
    settings: Any
    done: Mapping[str, Sequence[Arrays]]
    near: Callable[[int, str], Sequence[tuple[float, Arrays]]]
    check: Callable[[], None] = _no_check
    at_once: int = 1
    measurements: NDArray | None = None


@dataclass(frozen=True)
class SliceData:
    """The inputs of a map for one slice.

    Attributes:
        scan: (H, W), SD of healthy intensity.
        mask: bool (H, W).
        stages: results of the stages, only the samples that the settings ask for (all with `MapSpec.all_samples`).
        maps: the maps that it reads.
        settings: settings, with percentiles converted to numbers.
        j: number of the sample, for an indexed map.
    """

    scan: NDArray
    mask: NDArray
    stages: Mapping[str, Arrays]
    maps: Mapping[str, NDArray]
    settings: Any
    j: int


@dataclass(frozen=True)
class Step:
    """A slice after some of the draws of its restoration.

    Attributes:
        codes: (h, w), the codes after these draws.
        changed: bool (h, w), where codes were drawn.
        evidence: (H, W), NLL of these codes, nats.
        picture: (H, W), the decoded codes, SD.
    """

    codes: NDArray
    changed: NDArray
    evidence: NDArray
    picture: NDArray


class Unfolding(Protocol):
    """One restoration of one slice, step by step."""

    @property
    def steps(self) -> int:
        """The number of codes that were drawn."""

    @property
    def places_key(self) -> bytes:
        """A key that is equal for restorations with the same codes, drawn at the same places."""

    def at(self, n: int) -> Step:
        """Return the slice after the first n draws, 0 to `steps`."""


class Detector(Protocol):
    """The members that every detector has.

    Attributes:
        kind: name in config.json.
        family: the family of detectors under which lists and tables show it.
        files: files of a bundle with the networks, in the order in which they are hashed.
        Settings: model of the settings that it reads.
        Config: model of config.json.
        stages, maps, thresholds: see `Stage`, `MapSpec` and `ThresholdSpec`.
        scored: name of the map that is pooled into the pixel score; None for a detector that scores slices only. It
            has a slice score of its own, and no pixel score, flagged voxels or findings.
        pooled: pooling → the map that it pools in place of `scored`, of the same stage.
        fused: name of the evidence → name of the map. A fused score adds the evidence if the bundle has a normative
            map of it.
        slice_title, slice_unit: name and unit of its own slice score, such as AS_sample; None without one.
        slice_threshold: the setting in `thresholds` on which its own slice score depends; None if it depends on none.
        tables: names of its own tables in a calibration, which `fit_tables` computes.
    """

    kind: ClassVar[str]
    family: ClassVar[Family]
    files: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[SharedSettings]]
    Config: ClassVar[type[Any]]
    stages: ClassVar[tuple[Stage, ...]]
    maps: ClassVar[tuple[MapSpec, ...]]
    thresholds: ClassVar[tuple[ThresholdSpec, ...]]
    scored: ClassVar[str | None]
    pooled: ClassVar[Mapping[str, str]]
    fused: ClassVar[Mapping[str, str]]
    slice_title: ClassVar[str | None]
    slice_unit: ClassVar[str | None]
    slice_threshold: ClassVar[str | None]
    tables: ClassVar[tuple[str, ...]]

    @classmethod
    def load(cls, config: Any, files: Snapshot) -> Self:
        """Load the detector of a bundle on the CPU, reading its files in the order of `files`."""

    def to(self, device: torch.device) -> Self:
        """Return the detector on a device, with new modules; this one does not change."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants that have healthy tables, such as methods; the first is the default, the last the quickest."""

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Setting → the values that this bundle allows, the default first; other settings are not restricted."""

    def variant(self, settings: Any) -> str:
        """Return the variant that the settings select."""

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """Return the settings that select a variant, by name."""

    @classmethod
    def inactive(cls, settings: Any) -> frozenset[str]:
        """Return the settings without effect: the viewer disables them, and keys of stored results omit them."""

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute the samples of each slice of a job, as `Arrays`."""

    def same(self, stage: str, done: Mapping[str, Arrays], before: Any, now: Any) -> bool:
        """Check whether a stage gives a slice the same result with both settings, for results `done` of earlier stages.

        False means that the results may differ.
        """

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map: (H, W), not always zero outside the mask; any shape for the role "inner"."""

    def healthy(self, name: str, settings: Any) -> tuple[str, str] | None:
        """Return table and kind of the calibration with a map's healthy values; None if there are none."""

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """Compute its own slice score (n,) from the first stage's results, (n, …) each; None without such a score."""

    @property
    def loss_title(self) -> str | None:
        """The name of `loss`; None if the detector has no loss."""

    def loss(self, slices: NDArray, position: NDArray) -> NDArray:
        """Compute the loss that the networks were trained with, for each slice (B, H, W) in SD: (B,).

        The papers compare their slice scores with it.
        """

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: Any) -> Unfolding | None:
        """Return one restoration of a slice (H, W), step by step; None if the detector restores no codes.

        `done` contains the arrays of one sample by stage. Thresholds in the settings must be numbers.
        """

    def in_words(self, settings: Any, thresholds: Mapping[str, float]) -> str:
        """Describe the settings in a few words; `thresholds` are numbers by name, in their units."""

    def slice_words(self, settings: Any) -> str:
        """Describe its own slice score in a sentence."""

    def about(self) -> list[tuple[str, str]]:
        """Describe the detector for the model card, as pairs of a name and a few words."""

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check results read from an untrusted file: names, shapes and types for slices of shape (H, W)."""

    def check(self, calibration: Any) -> str | None:
        """Return why a calibration is not of this detector, such as "for another model: …"; None if it fits."""

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """Compute its own tables for a calibration, from the first stage's results (n, …) of healthy scans."""

    def compared(self, table: str, results: Arrays, mask: NDArray) -> NDArray:
        """Return the values of a scan that thresholds of a table are compared with, such as the NLL of each code.

        Args:
            table: the table of a `ThresholdSpec`.
            results: the first stage's results, (n, …), of some slices.
            mask: of these slices, bool (n, H, W).

        Returns:
            One value for each object within the mask, (M,), in the unit of the threshold.
        """


@dataclass(frozen=True)
class HealthySlices:
    """The training slices of a detector that is fitted in one step, loaded when they are first needed.

    Attributes:
        load: loads slices (N, H, W) in SD, and their positions (N,).
        files: the detector's files that are taken over from another bundle, by name: where they are.
    """

    load: Callable[[], tuple[NDArray, NDArray]]
    files: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def _loaded(self) -> tuple[NDArray, NDArray]:
        return self.load()

    @property
    def slices(self) -> NDArray:
        """The slices, (N, H, W), SD."""
        return self._loaded[0]

    @property
    def position(self) -> NDArray:
        """Their positions, (N,)."""
        return self._loaded[1]


class FittedDetector(Detector, Protocol):
    """A detector that `napari-vqad train detector` fits to healthy slices in one step."""

    @classmethod
    def prepare(cls, config: Any, source: Any, name: str) -> tuple[Any, dict[str, str]]:
        """Complete a recipe's config before the data are read, and name the files to take over from another bundle.

        Args:
            config: config of the recipe.
            source, name: config and name of the bundle whose network gives features; None and "" without one.

        Returns:
            The config of the bundle, and name of the detector's file → name of the other bundle's file.

        Raises:
            InputError: it needs such a bundle, or has no use for one.
        """

    @classmethod
    def fit(cls, config: Any, healthy: HealthySlices) -> Self:
        """Fit a detector to healthy training slices."""

    def save(self, folder: Path) -> None:
        """Write its `files` into a folder."""


class NetworkUser(Detector, Protocol):
    """A detector that uses the trained network of another detector's bundle.

    Attributes:
        network_of: the kind of that detector; its config.json has the field `network`, and so has this one's.
    """

    network_of: ClassVar[str]
