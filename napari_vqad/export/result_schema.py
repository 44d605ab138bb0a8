"""The schema of `Result.as_dict()` and of result.json: every key, its type, unit and shape.

n is the number of slices of the model's grid. Lists over slices run from the first slice of the grid to the last, for
axial slices from the lowest to the highest; entries are None for slices that were not analysed. Text holds no control
characters.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic supports `typing.TypedDict` only from Python 3.12

from napari_vqad.findings.review import Verdict
from napari_vqad.imaging.location import Side

SettingValue = bool | int | float | str | list[int] | None


class ScanIdentity(TypedDict):
    """Which scan was analysed.

    Attributes:
        scan_path: absolute path of the file or DICOM folder; None for a scan given as an array.
        scan_sha256: hexadecimal SHA-256 of the canonical voxels as float32.
        scan_shape: number of canonical voxels along R, A and S, (3,).
        scan_affine: canonical voxel indices to scanner mm (R, A, S), (4, 4), row by row.
    """

    scan_path: str | None
    scan_sha256: str
    scan_shape: list[int]
    scan_affine: list[list[float]]


class FitnessDict(TypedDict):
    """Whether the scan fits the model.

    Attributes:
        fits: True if there are no doubts.
        doubts: reasons why the scan may not fit, one sentence each.
        measured: the measurements behind the doubts, by name: `brain_ml` (mL), `beyond_grid` (share of the brain mask,
            0 to 1), `slice_spacing_mm` (mm), `contrast` (correlation with the template, −1 to 1; only for models with
            a template), `flagged_share` (share of the slices, 0 to 1). Empty for a clip.
    """

    fits: bool
    doubts: list[str]
    measured: dict[str, float]


class EditedDict(TypedDict):
    """What was put into an edited scan, which is not the patient's.

    Attributes:
        original: absolute path of the scan as it was read, or its name if it has no file.
        original_sha256: hexadecimal SHA-256 of its canonical voxels as float32.
        anomalies: what was put in, one line each.
        recipe: the same as data, the fields of `simulate.recipe.Recipe`; replayed on the original, it gives the same
            voxels.
    """

    original: str
    original_sha256: str
    anomalies: list[str]
    recipe: dict[str, Any]


class BundleDict(TypedDict):
    """The model.

    Attributes:
        name: name of the bundle's folder.
        sha256: hexadecimal SHA-256 of the files that determine the maps.
    """

    name: str
    sha256: str


class ThresholdDict(TypedDict):
    """A threshold as a number, also if it was set as a percentile or rate.

    Attributes:
        value: the threshold, in the unit that `unit` names.
        unit: unit of `value`, such as "nats".
        healthy_percentile: share of healthy values at or below `value`, 0 to 100.
    """

    value: float
    unit: str
    healthy_percentile: float


class FindingDict(TypedDict):
    """One finding; the same columns as findings.csv.

    Attributes:
        number: rank from 1; the finding with the largest sum of scores is first.
        side: the patient's side.
        from_midline_mm: R of the centre in mm from the head's midline; negative to the left.
        r_mm: R of the centre, scanner mm.
        a_mm: A of the centre, scanner mm.
        s_mm: S of the centre, scanner mm.
        first_slice: lowest slice number, as in `slice_numbers`.
        last_slice: highest slice number, as in `slice_numbers`.
        ml: volume, mL.
        peak: highest pixel score, in the unit of the pixel score.
        mean: mean pixel score, in the unit of the pixel score.
        evidence_peaks: the highest value of each evidence map within the finding, by the map's name, such as "nll", in
            the unit that `units.evidence_peaks` names. findings.csv has a column for each map, such as `nll_peak_nats`.
        final: "no" if slices that are not analysed yet may change the finding.
        verdict: the reader's verdict; "open" without one.
        note: the reader's note; empty without one.
    """

    number: int
    side: Side
    from_midline_mm: float
    r_mm: float
    a_mm: float
    s_mm: float
    first_slice: int
    last_slice: int
    ml: float
    peak: float
    mean: float
    evidence_peaks: dict[str, float]
    final: Literal["yes", "no"]
    verdict: Verdict
    note: str


class UnitsDict(TypedDict):
    """Units in words.

    Attributes:
        slice_numbers: how slices are numbered.
        slice_mm: unit and origin of `slice_mm`.
        slice_scores: "nats" or "SD".
        sample_scores: such as "nats"; None if the detector has no slice score of its own.
        volume_score: as `sample_scores`.
        residual: unit of the residual map.
        pixel_score: unit of the pixel score map, and of `peak` and `mean` of findings.
        evidence_peaks: unit of each evidence map by its name.
    """

    slice_numbers: str
    slice_mm: str
    slice_scores: str
    sample_scores: str | None
    volume_score: str | None
    residual: str
    pixel_score: str
    evidence_peaks: dict[str, str]


class ComputedDict(TypedDict):
    """Device and versions that computed the maps.

    Attributes:
        device: device of the networks, such as "cuda"; None if not recorded.
        versions: versions of napari-vqad, Python and the libraries, by name; empty if not recorded.
    """

    device: str | None
    versions: dict[str, str]


# Their keys are not Python names. saved: date and time, ISO 8601 with time zone; napari-vqad: its version.
StudyDict = TypedDict("StudyDict", {"saved": str, "napari-vqad": str})
WrittenDict = TypedDict("WrittenDict", {"napari-vqad": str})


class ResultDict(ScanIdentity):
    """The result of an analysis, as returned by `Result.as_dict` and stored in result.json.

    Attributes:
        scan: path of the scan as it was given, or the scan's name if it has no file.
        series: series instance UID of a DICOM scan, else None.
        notes: remarks from reading the scan, one sentence each.
        edited: for an edited scan, what was put in; else None. Missing in results of version 0.1.0 and earlier.
        mask: one sentence on the source of the brain mask.
        alignment: one sentence on how the scan was placed on the model's grid; None if there is no remark.
        fitness: whether the scan fits the model.
        grid_to_scan_mm: voxel indices of the model's grid along R, A and S to mm in the scan's own frame, whose axes
            are the scan's, (4, 4), row by row.
        mask_outside_grid: share of the brain mask that lies beyond the model's grid, 0 to 1.
        bundle: the model.
        settings: the settings that the detector reads, as arguments of `Settings(**settings)`.
        thresholds: thresholds in use, by the name of the setting: the detector's, such as lambda_s and lambda_p
            (NLL of a code, nats); flag_voxels, in the unit of the pixel score; flag_slices, in that of slice scores.
        slice_axis: the axis along which slices are stacked; "S" for the frames of a clip.
        slice_numbers: number of each slice on napari's slider, (n,).
        slice_mm: position of each slice along `slice_axis`, mm, (n,).
        slice_scores: slice score of each slice, in the unit that `units` names, (n,).
        slice_flagged: True for slices whose score exceeds its threshold, (n,).
        sample_scores: the detector's own score of each slice, such as AS_sample in nats, (n,); None for each slice of a
            detector that has none.
        volume_score: sum of `sample_scores` over all slices; 0 without them.
        complete: True if every chosen slice is analysed.
        slices_missing: indices, from 0, into the lists over slices, of slices without a final score.
        findings: the findings, the one with the largest sum of scores first; empty for a clip.
        units: units of the numbers and maps, in words.
        seconds: time that each stage took, s, by the stage's name.
        computed: device and versions that computed the maps, one entry for each machine or version that took part.
        study: for a reopened study, `saved` (when it was saved, ISO 8601) and `napari-vqad` (the version that saved
            it); else None.
        written: `napari-vqad`, the version that wrote this result.
    """

    scan: str
    series: str | None
    notes: list[str]
    edited: NotRequired[EditedDict | None]
    mask: str
    alignment: str | None
    fitness: FitnessDict
    grid_to_scan_mm: list[list[float]]
    mask_outside_grid: float
    bundle: BundleDict
    settings: dict[str, SettingValue]
    thresholds: dict[str, ThresholdDict]
    slice_axis: Literal["R", "A", "S"]
    slice_numbers: list[int]
    slice_mm: list[float]
    slice_scores: list[float | None]
    slice_flagged: list[bool]
    sample_scores: list[float | None]
    volume_score: float
    complete: bool
    slices_missing: list[int]
    findings: list[FindingDict]
    units: UnitsDict
    seconds: dict[str, float]
    computed: list[ComputedDict]
    study: StudyDict | None
    written: WrittenDict
