"""What a detector is: stages that need its networks, maps that follow from them by arithmetic, and its thresholds.

Engine, viewer, command line, calibration, studies and evaluation follow from these declarations; none of them knows a
detector by name. To add a detector, write a class with these members in a file of this folder and name it in
`detectors/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from numpy.typing import NDArray

from napari_vqad.files.snapshot import Snapshot
from napari_vqad.settings import SharedSettings

if TYPE_CHECKING:  # a detector without networks needs no torch, nor do its settings
    import torch

Arrays = dict[str, NDArray]  # of one slice, by name; the first axis counts its samples
Role = Literal["evidence", "restoration", "spread", "residual", "inner"]


@dataclass(frozen=True)
class Stage:
    """A step that needs the networks; it is run slice by slice, and its results are kept.

    Consecutive stages with the same `samples` are run together, a few slices at a time, so that the slice in view is
    soon complete.

    Attributes:
        after: the stages whose results it reads.
        settings: with another value of one of these it gives another result; no other setting matters.
        samples: the setting that says how many samples a slice gets; None for a single one.
        rebuildable: it is quick to run again, so its results are dropped first when memory is short.
        at_once: at most so many slices in one job; None where the engine decides by the number of samples.
    """

    name: str
    title: str
    after: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    samples: str | None = None
    rebuildable: bool = False
    at_once: int | None = None


@dataclass(frozen=True)
class MapSpec:
    """A quantity of each slice that follows from the results of stages without networks.

    Attributes:
        title: as layers and buttons show it.
        unit: "nats", "SD", …
        role: what it is for. It decides button, colours and scale; "inner" ones are intermediate values (of any
            shape) that other maps read and nobody is shown.
        stage: a slice of it is ready when this stage is done for the slice.
        settings: the settings that it depends on, beside those of its stages.
        reads: the other maps that it reads.
        indexed: there is one for each sample j.
        all_samples: it is made of all samples that are kept, also of those beyond the number asked for.
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
        setting: its name.
        table: the table of the calibration that holds the healthy values.
        unit: of the values.
        of: what the values belong to, such as "codes", for the sentence under the slider.
    """

    setting: str
    table: str
    unit: str
    of: str


def _no_check() -> None:
    """The result is wanted, whatever comes."""


@dataclass(frozen=True)
class Job:
    """Some slices to run a stage on.

    Attributes:
        slices: (B, H, W), SD of healthy intensity.
        mask: bool (B, H, W).
        position: (B,), where each slice lies in the head, 0 to 1.
        indices: their numbers on the grid, which key random numbers.
        samples: which samples to make.
        settings: with percentiles resolved to numbers.
        done: stage → the results of earlier stages, one `Arrays` a slice, all samples that are kept.
        near: (slice of the job, setting) → (value, results of this stage) at other values of that setting, all else
            being equal; the nearest value first.
        check: to be called often; it raises when the result is no longer wanted.
        at_once: how many pictures the device takes at once.
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


@dataclass(frozen=True)
class SliceData:
    """What a map of one slice is made of.

    Attributes:
        scan: (H, W), SD of healthy intensity, and `mask`, bool (H, W).
        stages: the results of stages, cut to the samples that are asked for (but for `MapSpec.all_samples`).
        maps: the maps that it reads.
        settings: with percentiles resolved to numbers.
        j: which sample, of an indexed map.
    """

    scan: NDArray
    mask: NDArray
    stages: Mapping[str, Arrays]
    maps: Mapping[str, NDArray]
    settings: Any
    j: int


@dataclass(frozen=True)
class Step:
    """A slice in the middle of its restoration.

    Attributes:
        codes: (h, w), as they stand now; `changed`, bool (h, w), those that were drawn so far.
        evidence: (H, W), how unlikely each pixel's code is now, nats.
        picture: (H, W), the codes decoded, SD.
    """

    codes: NDArray
    changed: NDArray
    evidence: NDArray
    picture: NDArray


class Unfolding(Protocol):
    """One restoration of one slice, step by step.

    Attributes:
        steps: the number of codes that were drawn.
        places_key: equal for the same codes drawn at the same places.
    """

    @property
    def steps(self) -> int:
        """See above."""

    @property
    def places_key(self) -> bytes:
        """See above."""

    def at(self, n: int) -> Step:
        """The slice after the first n draws, 0 to `steps`."""


class Detector(Protocol):
    """What is asked of a detector.

    Attributes:
        kind: its name in config.json.
        files: the files of a bundle that hold its networks, in the order in which they are hashed.
        Settings: the settings that it reads.
        Config: of config.json.
        stages, maps, thresholds: see above.
        scored: the map that is pooled into the pixel score.
        fused: evidence that a fused score may add, where the bundle has a normative map of it → the map that gives it.
        slice_title, slice_unit: of a slice score by the networks alone, such as AS_sample; None without one.
        variants: the healthy tables that it is calibrated for, such as one for each way of restoring; the first is the
            one to begin with, the last the quickest.
        choices: setting → the values that this bundle allows, the one to begin with first; other settings are free.
        loss_title: name of `loss`; None without one.
    """

    kind: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[SharedSettings]]
    Config: ClassVar[type[Any]]
    stages: ClassVar[tuple[Stage, ...]]
    maps: ClassVar[tuple[MapSpec, ...]]
    thresholds: ClassVar[tuple[ThresholdSpec, ...]]
    scored: ClassVar[str]
    fused: ClassVar[Mapping[str, str]]
    slice_title: ClassVar[str | None]
    slice_unit: ClassVar[str | None]

    @classmethod
    def load(cls, config: Any, files: Snapshot) -> Self:
        """The detector of a bundle, on the CPU; its files are read in the order of `files`."""

    def to(self, device: torch.device) -> Self:
        """A detector with new modules on a device; this one stays as it is."""

    @property
    def variants(self) -> tuple[str, ...]:
        """See above."""

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """See above."""

    def variant(self, settings: Any) -> str:
        """The variant that the settings ask for."""

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """The settings that ask for a variant, by name."""

    @classmethod
    def inactive(cls, settings: Any) -> frozenset[str]:
        """The settings that change nothing just now: greyed in the viewer, left out of cache keys."""

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """The new samples of each slice of a job, as `Arrays`."""

    def same(self, stage: str, done: Mapping[str, Arrays], before: Any, now: Any) -> bool:
        """Does a stage surely give a slice the same result with other settings? `done`: results of earlier stages."""

    def map(self, name: str, data: SliceData) -> NDArray:
        """One slice of a map, (H, W), within the mask or not; of an inner one, any array."""

    def healthy(self, name: str, settings: Any) -> tuple[str, str] | None:
        """Table and kind of the calibration that hold healthy values of a map; None where there are none."""

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """Scores (n,) by the networks alone, of the results of the first stage, (n, …) each; None without such."""

    @property
    def loss_title(self) -> str | None:
        """See above."""

    def loss(self, slices: NDArray, position: NDArray) -> NDArray:
        """The loss that the networks were trained with, of each slice (B, H, W) in SD: (B,).

        It serves as the slice score that the papers compare theirs with. Only a detector with a `loss_title` has it.
        """

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: Any) -> Unfolding | None:
        """One restoration of a slice (H, W), step by step; None where no codes are restored.

        `done` holds the arrays of one sample by stage; thresholds of the settings are numbers.
        """

    def in_words(self, settings: Any, thresholds: Mapping[str, float]) -> str:
        """What was done with these settings, in a few words; thresholds by name, in their units."""

    def slice_words(self, settings: Any) -> str:
        """What that score is, in a sentence."""

    def about(self) -> list[tuple[str, str]]:
        """What it is, for the card of its bundle: rows of a name and a few words."""

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Can these be results of its stages, of slices of a shape (H, W)? They come from a file that nobody vouches
        for.
        """

    def check(self, calibration: Any) -> str | None:
        """Why a calibration cannot be of this detector, such as "for another model: …"; None where it can."""

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """Tables of its own for a calibration, from the first stage's results (n, …) of healthy scans."""


class FittedDetector(Detector, Protocol):
    """A detector that is made from healthy slices in one go, by `napari-vqad train detector`."""

    @classmethod
    def fit(cls, config: Any, slices: Callable[[], NDArray]) -> Self:
        """The detector of a config; `slices` loads healthy training slices (N, H, W), SD, if it needs any."""

    def save(self, folder: Path) -> None:
        """Write its `files` into a folder."""
