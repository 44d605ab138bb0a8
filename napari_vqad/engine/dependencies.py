"""Dependencies that a detector declares: between stages, of maps on stages, and of maps on settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from napari_vqad.detectors.protocol import Detector, MapSpec

TailRole = Literal["score", "flagged"]


@dataclass(frozen=True)
class TailSpec:
    """A map that all detectors share; `MapSpec` describes a detector's own maps."""

    name: str
    title: str
    role: TailRole
    settings: tuple[str, ...]
    unit: str = ""  # the pixel score's unit depends on the settings: `display.scales`
    indexed: bool = False


# Settings that change the score, in addition to those that change the scored map.
SCORING = ("pooling", "paper_faithful", "score", "slices")
TAIL = (
    TailSpec("pixel_score", "Pixel score", "score", SCORING),
    TailSpec("flagged", "Flagged", "flagged", (*SCORING, "flag_voxels", "median", "erode_mm", "min_volume_ml")),
)


def evidence_maps(maps: Mapping[str, MapSpec | TailSpec]) -> list[MapSpec]:
    """List the maps of how unlikely each voxel is, such as NLL; many detectors have none."""
    return [spec for spec in maps.values() if isinstance(spec, MapSpec) and spec.role == "evidence"]


class Dependencies:
    """Dependencies of one detector, including the shared maps."""

    def __init__(self, detector: Detector | type[Detector]) -> None:
        """Read the declarations of a detector or its class; the networks are not needed."""
        self._detector = detector
        self._stages = {stage.name: stage for stage in detector.stages}
        self._specs = {spec.name: spec for spec in detector.maps}

    @property
    def maps(self) -> Mapping[str, MapSpec | TailSpec]:
        """The maps that the user can see, by name: the detector's, then pixel score and flagged voxels."""
        tail = TAIL if self._detector.scored is not None else ()
        specs: list[MapSpec | TailSpec] = [*self._detector.maps, *tail]
        return {spec.name: spec for spec in specs if spec.role != "inner"}

    def before(self, stage: str) -> tuple[str, ...]:
        """List all stages that a stage reads, directly or not, in order."""
        return tuple(dict.fromkeys(n for a in self._stages[stage].after for n in (*self.before(a), a)))

    def stages_of(self, name: str, fused: bool = True) -> tuple[str, ...]:
        """List the stages that a map needs, with all earlier ones; for a fused score, also those of its evidence."""
        sources = [name] if name in self._specs else self.sources(fused)
        stages = [self._specs[source].stage for source in sources]
        return tuple(dict.fromkeys(n for stage in stages for n in (*self.before(stage), stage)))

    def sources(self, fused: bool = True) -> list[str]:
        """List the declared maps from which the pixel score is computed; none without a pixel score."""
        if self._detector.scored is None:
            return []
        return [self._detector.scored, *(self._detector.fused.values() if fused else ())]

    def fed_by(self, stages: Iterable[str]) -> set[str]:
        """Return the maps that change when one of the stages has new results."""
        own = {name: [name] if name in self._specs else self.sources() for name in self.maps}
        return {name for name, made_of in own.items() if {self._specs[m].stage for m in made_of} & set(stages)}

    def changed_by(self, settings: Iterable[str]) -> set[str]:
        """Return the maps that depend on one of the settings."""
        return {name for name in self.maps if (self.settings_of(name) | {"slices"}) & set(settings)}

    def settings_of(self, name: str) -> set[str]:
        """Return the settings that a map depends on, directly or through its stages and the maps that it reads."""
        if name not in self._specs:
            tail = next(spec for spec in TAIL if spec.name == name)
            sources = (*self.sources(), *self._detector.pooled.values())
            return set(tail.settings).union(*(self.settings_of(source) for source in sources))
        spec = self._specs[name]
        stages = [self._stages[n] for n in self.stages_of(name)]
        of_stages = {s for stage in stages for s in (*stage.settings, *([stage.samples] if stage.samples else ()))}
        return of_stages.union(spec.settings, *(self.settings_of(read) for read in spec.reads))
