"""The edits of a scan as plain data, which a study stores; `simulate.edits` replays them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_vqad.imaging.volume import Volume, side_label

Kind = Literal["constant", "additive", "sink", "source", "shuffle", "patch"]
MOST = 99  # edits of a scan
Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Point = tuple[Number, Number, Number]  # mm (R, A, S) in the scan's diagonal frame
Text = Annotated[str, Field(max_length=1000)]
Index = Annotated[int, Field(ge=0, le=2**15)]

TITLES: dict[Kind, str] = {
    "constant": "Constant intensity",
    "additive": "Added intensity",
    "sink": "Sink deformation",
    "source": "Source deformation",
    "shuffle": "Shuffled voxels",
    "patch": "Patch",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Grey(_Part):
    """Mean and SD of a brain's grey values."""

    mean: Number
    sd: float = Field(gt=0, allow_inf_nan=False)

    @classmethod
    def of(cls, volume: Volume, brain: NDArray[np.bool_]) -> Grey:
        """Measure a scan, given its brain mask, bool (R, A, S)."""
        inside = volume.voxels[brain]
        return cls(mean=float(inside.mean()), sd=float(inside.std()))

    def in_words(self, intensity: float, added: bool = False) -> str:
        """Write an intensity in SD, a level or an amount that is added, and in percent of the mean grey value."""
        text = f"{intensity:+.1f} SD of the brain".replace("-", "−")
        if not self.mean > 0:  # as in CT
            return text
        share = (0 if added else 1) + intensity * self.sd / self.mean
        percent = f"{100 * share:+.0f} %" if added else f"{100 * share:.0f} %"
        return f"{text}, {percent} of its mean grey value".replace("-", "−")


class ForeignScan(_Part):
    """Another scan that a patch comes from: how to find it, and mean and SD of its brain."""

    name: Text
    path: str | None
    series: Text | None = None
    sha256: Text
    grey: Grey


class Round(_Part):
    """A disc or a ball.

    Attributes:
        form: a disc is as thick as `thickness_mm` along the scan's canonical axis `axis`; a ball needs neither.
        centre: mm (R, A, S) in the scan's diagonal frame.
        radius_mm: mm.
    """

    form: Literal["disc", "ball"]
    centre: Point
    radius_mm: float = Field(gt=0, le=100)
    axis: Literal[0, 1, 2] = 2
    thickness_mm: float = Field(default=0.0, ge=0, le=50)

    def in_words(self) -> str:
        """Write shape, size and place."""
        plane = {0: "sagittal ", 1: "coronal ", 2: "axial "}[self.axis] if self.form == "disc" else ""
        return f"{plane}{self.form}, radius {self.radius_mm:g} mm, centre {_at(self.centre)}"


class Painted(_Part):
    """A painted mask.

    Attributes:
        form: "painted".
        low: index (R, A, S) of the first voxel of a box around the mask.
        size: number of voxels of the box, (R, A, S).
        runs: lengths of the runs of equal voxels in the box in C order, beginning with voxels that are not painted.
    """

    form: Literal["painted"] = "painted"
    low: tuple[Index, Index, Index]
    size: tuple[Index, Index, Index]
    runs: tuple[Annotated[int, Field(ge=0, le=2**31)], ...] = Field(max_length=2_000_000)

    @model_validator(mode="after")
    def _fills_the_box(self) -> Self:
        if sum(self.runs) != int(np.prod(self.size)) or int(np.prod(self.size)) > 2**30:
            raise ValueError("the runs do not fill the box")
        return self

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Painted | None:
        """Store a mask, bool (R, A, S); None if it is empty."""
        if not mask.any():
            return None
        places = np.argwhere(mask)
        low, high = places.min(0), places.max(0) + 1
        flat = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].ravel()
        ends = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *ends.tolist(), len(flat)])
        first = [0] if flat[0] else []
        return cls(low=tuple(low.tolist()), size=tuple((high - low).tolist()), runs=(*first, *runs.tolist()))

    def voxels(self) -> NDArray[np.bool_]:
        """Return the mask within its box, bool (R, A, S)."""
        return np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs).reshape(self.size)

    def in_words(self) -> str:
        """Write how large it is."""
        return f"painted mask of {sum(self.runs[1::2])} voxels"


class Edit(_Part):
    """One anomaly.

    Attributes:
        kind: what is changed; the equations are in `simulate.edits`.
        shape: where.
        intensity: SD of the brain, of kinds "constant" and "additive".
        softness_mm: SD of the Gaussian that blurs the shape's edge, mm.
        squared: sink and source with the square of the authors' code (p = 2) or as printed in the paper (p = 1).
        seed: of the random order, kind "shuffle".
        taken_from: centre of the patch, mm (R, A, S) in the diagonal frame of the scan that it comes from.
        scan: the other scan that the patch comes from; None for this scan.
    """

    kind: Kind
    shape: Annotated[Round | Painted, Field(discriminator="form")]
    intensity: float = Field(default=0.0, ge=-20, le=20)
    softness_mm: float = Field(default=0.0, ge=0, le=20)
    squared: bool = True
    seed: int = Field(default=0, ge=0, lt=2**32)
    taken_from: Point | None = None
    scan: ForeignScan | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if isinstance(self.shape, Painted) and self.kind in ("sink", "source", "patch"):
            raise ValueError("a painted mask takes an intensity, or is shuffled")
        if (self.kind == "patch") != (self.taken_from is not None):
            raise ValueError("a patch, and nothing else, is taken from a place")
        return self

    @property
    def exponent(self) -> float:
        """The exponent p of sink and source."""
        return 2.0 if self.squared else 1.0

    def in_words(self, grey: Grey) -> str:
        """Describe the edit in one line; `grey` is that of the original scan's brain."""
        how = ""
        if self.kind in ("constant", "additive"):
            how = f", {grey.in_words(self.intensity, added=self.kind == 'additive')}"
        elif self.kind in ("sink", "source"):
            how = ", squared as in the authors' code" if self.squared else ", not squared, as in the paper"
        elif self.kind == "shuffle":
            how = f", seed {self.seed}"
        elif self.taken_from is not None:
            how = f" of {self.scan.name if self.scan else 'the same scan'} at {_at(self.taken_from)}"
        soft = f", edge softened by {self.softness_mm:g} mm" if self.softness_mm else ""
        return f"{TITLES[self.kind]}{how}: {self.shape.in_words()}{soft}."


def _at(mm: Point) -> str:
    return f"{', '.join(side_label(axis, v) for axis, v in enumerate(mm))} mm"


class Recipe(_Part):
    """What was put into a scan.

    Attributes:
        grey: mean and SD of the brain in the original scan, the unit of intensities.
        edits: in the order in which they were made.
    """

    grey: Grey
    edits: tuple[Edit, ...] = Field(default=(), max_length=MOST)
