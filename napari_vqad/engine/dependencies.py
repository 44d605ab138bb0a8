"""What depends on what, as the detector declares it: stages before a stage, stages of a map, maps of a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from napari_vqad.detectors.protocol import Detector, MapSpec

TailRole = Literal["score", "flagged"]


@dataclass(frozen=True)
class TailSpec:
    """A map of the tail that all detectors share, as `MapSpec` describes those of a detector."""

    name: str
    title: str
    role: TailRole
    settings: tuple[str, ...]
    unit: str = ""  # that of the pixel score depends on the settings: `display.scales`
    indexed: bool = False


# What changes the score, beside what changes the scored map.
SCORING = ("pooling", "paper_faithful", "score", "slices")
TAIL = (
    TailSpec("pixel_score", "Pixel score", "score", SCORING),
    TailSpec("flagged", "Flagged", "flagged", (*SCORING, "flag_voxels", "median", "erode_mm", "min_volume_ml")),
)


def evidence_maps(maps: Mapping[str, MapSpec | TailSpec]) -> list[MapSpec]:
    """The maps that say how unlikely each place of the scan is, such as NLL; many detectors have none."""
    return [spec for spec in maps.values() if isinstance(spec, MapSpec) and spec.role == "evidence"]


class Dependencies:
    """Those of one detector, with the shared tail."""

    def __init__(self, detector: Detector | type[Detector]) -> None:
        """A detector, or its class: nothing depends on the networks."""
        self._detector = detector
        self._stages = {stage.name: stage for stage in detector.stages}
        self._specs = {spec.name: spec for spec in detector.maps}

    @property
    def maps(self) -> Mapping[str, MapSpec | TailSpec]:
        """The maps that a user may see, by name: those of the detector, pixel score and flagged voxels."""
        specs: list[MapSpec | TailSpec] = [*self._detector.maps, *TAIL]
        return {spec.name: spec for spec in specs if spec.role != "inner"}

    def before(self, stage: str) -> tuple[str, ...]:
        """All stages that a stage reads, the first one first."""
        return tuple(dict.fromkeys(n for a in self._stages[stage].after for n in (*self.before(a), a)))

    def stages_of(self, name: str, fused: bool = True) -> tuple[str, ...]:
        """The stages that a map needs, with all that come before them; of a score, also those of its evidence."""
        sources = [name] if name in self._specs else self.sources(fused)
        stages = [self._specs[source].stage for source in sources]
        return tuple(dict.fromkeys(n for stage in stages for n in (*self.before(stage), stage)))

    def sources(self, fused: bool = True) -> list[str]:
        """The declared maps that the pixel score is made of."""
        return [self._detector.scored, *(self._detector.fused.values() if fused else ())]

    def fed_by(self, stages: Iterable[str]) -> set[str]:
        """The maps that have new content when one of some stages has."""
        own = {name: [name] if name in self._specs else self.sources() for name in self.maps}
        return {name for name, made_of in own.items() if {self._specs[m].stage for m in made_of} & set(stages)}

    def changed_by(self, settings: Iterable[str]) -> set[str]:
        """The maps that depend on one of some settings."""
        return {name for name in self.maps if (self.settings_of(name) | {"slices"}) & set(settings)}

    def settings_of(self, name: str) -> set[str]:
        """The settings that a map depends on, through its stages, the maps that it reads, and itself."""
        if name not in self._specs:
            tail = next(spec for spec in TAIL if spec.name == name)
            return set(tail.settings).union(*(self.settings_of(source) for source in self.sources()))
        spec = self._specs[name]
        stages = [self._stages[n] for n in self.stages_of(name)]
        of_stages = {s for stage in stages for s in (*stage.settings, *([stage.samples] if stage.samples else ()))}
        return of_stages.union(spec.settings, *(self.settings_of(read) for read in spec.reads))
