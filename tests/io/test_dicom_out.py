"""DICOM out: read back with highdicom and pydicom, what was set at a place of the patient comes back there."""

import builtins
from itertools import permutations, product

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from napari_vqad.errors import InputError
from napari_vqad.io.dicom import read_series
from napari_vqad.io.dicom_out import Maker, Segment, source_of, write_score, write_segments
from napari_vqad.volume import Volume

SPACING = (1.5, 2.0, 3.0)
TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATIONS = [(o, s, t) for t in (False, True) for o in permutations(range(3)) for s in product((1, -1), repeat=3)]
MAKER = Maker("tiny", "abc123", {"method": "light"})
TWO = [Segment("Finding 1, right", "1 mL"), Segment("Finding 4, left", "2 mL")]


def affine_of(order=(0, 1, 2), signs=(-1, -1, 1), oblique=False):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, axis in enumerate(order):
        affine[axis, i] = signs[i] * SPACING[i]
    affine[:3, :3] = TURN @ affine[:3, :3] if oblique else affine[:3, :3]
    affine[:3, 3] = (-20, 31, 4)
    return affine


def noise():
    return np.random.default_rng(0).integers(0, 200, (7, 6, 5)).astype(np.uint16)


def places(volume, values):
    """Scanner mm (R, A, S) of the voxels above zero of a volume that highdicom made."""
    return [(TO_RAS @ volume.affine @ [*index, 1])[:3] for index in np.argwhere(values > 0)]


@pytest.fixture
def scan(make_series, tmp_path):
    return read_series(make_series(tmp_path / "scan", noise(), affine_of()))


@pytest.mark.parametrize(("order", "signs", "oblique"), ORIENTATIONS[:48] + ORIENTATIONS[48::11])
def test_a_voxel_at_a_place_of_the_patient_comes_back_there(make_series, tmp_path, order, signs, oblique):
    affine, array = affine_of(order, signs, oblique), noise()
    array[5, 1, 3], array[2, 4, 0] = 5000, 6000
    volume = read_series(make_series(tmp_path / "scan", array, affine))
    marked = np.where(volume.voxels == 5000, 1, np.where(volume.voxels == 6000, 2, 0))
    write_segments(tmp_path / "seg.dcm", volume, marked, TWO, MAKER)
    write_score(tmp_path / "score.dcm", volume, np.where(marked == 1, 7.25, 0), "Pixel score", MAKER)
    expected = [(affine @ [*index, 1])[:3] for index in ((5, 1, 3), (2, 4, 0))]

    segments = hd.seg.segread(tmp_path / "seg.dcm")
    for number, mm in enumerate(expected, start=1):
        found = segments.get_volume(segment_numbers=[number], combine_segments=True)
        np.testing.assert_allclose(places(found, found.array), [mm], atol=1e-3)
    score = hd.imread(tmp_path / "score.dcm").get_volume(apply_real_world_transform=True)
    np.testing.assert_allclose(places(score, score.array), expected[:1], atol=1e-3)
    assert score.array.max() == 7.25


def test_enhanced_sources_in_any_order_of_frames(make_enhanced, tmp_path):
    affine, array = affine_of((1, 2, 0), (-1, -1, -1), oblique=True), noise()
    array[5, 1, 3] = 5000
    volume = read_series(make_enhanced(tmp_path / "in" / "one", array, affine, order=(3, 0, 4, 1, 2)))
    marked = (volume.voxels > 4000).astype(int)
    write_segments(tmp_path / "seg.dcm", volume, marked, TWO[:1], MAKER)
    write_score(tmp_path / "score.dcm", volume, marked * 2.5, "Pixel score", MAKER)
    found = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    score = hd.imread(tmp_path / "score.dcm").get_volume(apply_real_world_transform=True)
    for one in (found, score):
        np.testing.assert_allclose(places(one, one.array), [(affine @ [5, 1, 3, 1])[:3]], atol=1e-3)


def test_a_whole_map_comes_back_to_the_bit_and_refers_to_its_source(scan, tmp_path):
    score = np.random.default_rng(1).normal(2, 1, scan.voxels.shape).astype(np.float32)
    write_score(tmp_path / "score.dcm", scan, score, "Pixel score, SD of healthy intensity", MAKER)
    plain = dcmread(tmp_path / "score.dcm")
    found = hd.imread(tmp_path / "score.dcm").get_volume()
    back = Volume.from_array(found.array, TO_RAS @ found.affine)
    np.testing.assert_array_equal(back.voxels, score)
    np.testing.assert_allclose(back.affine, scan.affine, atol=1e-4)
    source = dcmread(scan.header.files[0])
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID"):
        assert plain[keyword].value == source[keyword].value
    assert plain.SeriesInstanceUID != source.SeriesInstanceUID
    referred = plain.ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == scan.header.uid
    named = [item.ReferencedSOPInstanceUID for item in referred.ReferencedInstanceSequence]
    assert sorted(named) == sorted(scan.header.instances)
    mapping = plain.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    assert mapping.LUTExplanation == "Pixel score, SD of healthy intensity"
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)


def test_segments_say_what_and_who(scan, tmp_path):
    labels = np.zeros(scan.voxels.shape, int)
    labels[1:3, 2, 2], labels[5, 5, 0] = 1, 2
    write_segments(tmp_path / "seg.dcm", scan, labels, TWO, MAKER)
    written = dcmread(tmp_path / "seg.dcm")
    assert (written.Modality, written.SegmentationType) == ("SEG", "BINARY")
    assert [s.SegmentLabel for s in written.SegmentSequence] == ["Finding 1, right", "Finding 4, left"]
    for segment in written.SegmentSequence:
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "napari-vqad")
        assert algorithm.AlgorithmParameters == "model=tiny,method=light"
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == scan.header.uid
    found = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True, allow_missing_positions=True)
    assert (found.array == 1).sum() == 2


def test_what_is_missing_in_an_anonymised_source_stays_empty(make_series, tmp_path):
    folder = make_series(tmp_path / "scan", noise(), affine_of())
    for path in folder.iterdir():
        image = dcmread(path)
        for keyword in ("PatientName", "PatientID", "PatientSex", "AccessionNumber", "StudyID", "SeriesNumber"):
            delattr(image, keyword)
        image.save_as(path)
    volume = read_series(folder)
    write_score(tmp_path / "score.dcm", volume, volume.voxels, "Pixel score", MAKER)
    assert not dcmread(tmp_path / "score.dcm").PatientName


def test_only_what_came_from_dicom_goes_out_as_dicom(scan):
    with pytest.raises(InputError, match="mine was not read from DICOM"):
        source_of(Volume(scan.voxels, scan.affine, scan.affine, name="mine"))


def test_without_highdicom_it_is_said_how_to_get_it(scan, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name.startswith("highdicom"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "napari-vqad\[dicom\]"'):
        source_of(scan)


def test_sources_that_went_or_changed_are_named(scan, make_series, tmp_path):
    score = scan.voxels
    path = scan.header.files[2]
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}, which the scan was read from, cannot be read"):
        write_score(tmp_path / "score.dcm", scan, score, "Pixel score", MAKER)
    path.write_bytes(scan.header.files[1].read_bytes())
    with pytest.raises(InputError, match="no longer the image"):
        write_score(tmp_path / "score.dcm", scan, score, "Pixel score", MAKER)
    path.write_bytes(whole)
    for file in scan.header.files:
        image = dcmread(file)
        del image.FrameOfReferenceUID
        image.save_as(file)
    with pytest.raises(InputError, match="have no FrameOfReferenceUID"):
        write_score(tmp_path / "score.dcm", scan, score, "Pixel score", MAKER)
    assert [p.name for p in tmp_path.iterdir()] == ["scan"]


def test_writing_is_whole_or_not_at_all(scan, tmp_path, monkeypatch):
    (tmp_path / "score.dcm").write_bytes(b"of before")

    def full(self, path, *more, **others):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hd.pm.ParametricMap, "save_as", full)
    with pytest.raises(InputError, match=r"score\.dcm cannot be written: no space left"):
        write_score(tmp_path / "score.dcm", scan, scan.voxels, "Pixel score", MAKER)
    assert (tmp_path / "score.dcm").read_bytes() == b"of before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scan", "score.dcm"]
