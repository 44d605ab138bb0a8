"""DICOM out: read back with highdicom and pydicom, what was set at a place of the patient comes back there."""

import builtins
from itertools import permutations, product

import highdicom as hd
import numpy as np
import pytest
from pydicom import DataElement, Dataset, dcmread

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_series import read_series
from napari_vqad.io.dicom_write import CARRIED, Maker, Segment, check_source, write_score, write_segments

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
        (kind,) = segment.SegmentedPropertyTypeCodeSequence
        assert (kind.CodeMeaning, kind.CodingSchemeDesignator) == ("Flagged region", "99VQAD")
        assert "bnormal" not in segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning
    assert "research use only" in written.SeriesDescription
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == scan.header.uid
    found = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True, allow_missing_positions=True)
    assert (found.array == 1).sum() == 2


# The top-level attributes of a file that are about the patient, the study, the series and the equipment: of the
# source's own there are those of Patient and General Study alone, and the frame of reference.
OF_THE_SOURCE = {
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
}
OURS = {
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceCreationDate",
    "InstanceCreationTime",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "ContentDate",
    "ContentTime",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "ContributingEquipmentSequence",
}
OF_THE_PICTURE = {
    "ImageType",
    "ReferencedSeriesSequence",
    "SourceImageSequence",
    "PixelPresentation",
    "ContentQualification",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "DimensionOrganizationType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "BurnedInAnnotation",
    "RecognizableVisualFeatures",
    "LossyImageCompression",
    "AcquisitionContextSequence",
    "SegmentationType",
    "SegmentSequence",
    "SegmentsOverlap",
    "ContentLabel",
    "ContentDescription",
    "PresentationLUTShape",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "FloatPixelData",
    "PixelData",
}
# What a scanner writes and nobody asked for; each with a word of its own.
PRIVATE = {
    "PatientAge": "077Y",
    "PatientWeight": "71.25",
    "PatientSize": "1.875",
    "PatientAddress": "SECRET lane",
    "PatientTelephoneNumbers": "SECRET 555",
    "PatientMotherBirthName": "SECRET^Mother",
    "OtherPatientIDs": "SECRET other",
    "OtherPatientNames": "SECRET^Other",
    "IssuerOfPatientID": "SECRET issuer",
    "EthnicGroup": "SECRET group",
    "Occupation": "SECRET job",
    "MedicalAlerts": "SECRET alert",
    "Allergies": "SECRET allergy",
    "PregnancyStatus": 2,
    "SmokingStatus": "YES",
    "AdditionalPatientHistory": "SECRET history",
    "PatientComments": "SECRET comment",
    "PatientState": "SECRET state",
    "AdmissionID": "SECRET admission",
    "StudyDescription": "SECRET study",
    "StudyComments": "SECRET comments",
    "PhysiciansOfRecord": "SECRET^Record",
    "NameOfPhysiciansReadingStudy": "SECRET^Reader",
    "RequestingPhysician": "SECRET^Requester",
    "PerformingPhysicianName": "SECRET^Performer",
    "OperatorsName": "SECRET^Operator",
    "InstitutionName": "SECRET hospital",
    "InstitutionAddress": "SECRET street",
    "InstitutionalDepartmentName": "SECRET department",
    "StationName": "SECRET station",
    "DeviceSerialNumber": "SECRET serial",
    "ProtocolName": "SECRET protocol",
    "SeriesDescription": "t1 SECRET",
    "ImageComments": "SECRET image",
    "ClinicalTrialSubjectID": "SECRET subject",
    "ClinicalTrialProtocolName": "SECRET trial",
    "PatientInsurancePlanCodeSequence": [],
    "AcquisitionDate": "20190203",
    "AcquisitionTime": "040506",
}


def test_exactly_what_dicom_demands_of_patient_and_study_is_carried(make_series, tmp_path):
    about = {
        "PatientBirthDate": "19500607",
        "StudyDate": "20200101",
        "StudyTime": "101112",
        "ReferringPhysicianName": "Smith^Anna",
        "StudyID": "S1",
        "AccessionNumber": "A1",
        "PositionReferenceIndicator": "NA",
    }
    folder = make_series(tmp_path / "scan", noise(), affine_of(), **about, **PRIVATE)
    for path in folder.iterdir():
        image = dcmread(path)
        image.private_block(0x0029, "SECRET maker", create=True).add_new(1, "LO", "SECRET private")
        request = Dataset()
        request.RequestedProcedureDescription = "SECRET request"
        image.RequestAttributesSequence = [request]
        image.save_as(path)
    volume = read_series(folder)
    write_score(tmp_path / "score.dcm", volume, volume.voxels, "Pixel score", MAKER)
    write_segments(tmp_path / "seg.dcm", volume, (volume.voxels > 100).astype(int), TWO[:1], MAKER)
    source = dcmread(volume.header.files[0])
    assert set(CARRIED) == OF_THE_SOURCE - {"FrameOfReferenceUID", "PositionReferenceIndicator"}
    for name in ("score.dcm", "seg.dcm"):
        written = dcmread(tmp_path / name)
        keywords = {element.keyword for element in written}
        assert keywords - OF_THE_PICTURE == OF_THE_SOURCE | OURS
        for keyword in OF_THE_SOURCE:
            assert written[keyword].value == source[keyword].value
        values = [str(e.value) for e in written.iterall() if e.VR not in ("SQ", "OB", "OW", "OF")]
        for value in ("SECRET", "077Y", "71.25", "1.875", "20190203", "040506"):
            assert not any(value in v for v in values), value
        assert b"SECRET" not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Иванов^Пётр"),
        ("ISO_IR 100", "Müller^Jörg"),
    ],
)
def test_names_in_any_script_come_back(make_series, tmp_path, charset, name):
    folder = make_series(tmp_path / "scan", noise(), affine_of(), SpecificCharacterSet=charset, PatientName=name)
    volume = read_series(folder)
    write_score(tmp_path / "score.dcm", volume, volume.voxels, "Pixel score", MAKER)
    assert str(dcmread(tmp_path / "score.dcm").PatientName) == name


def test_values_of_a_form_that_dicom_does_not_allow_are_left_empty(make_series, tmp_path):
    folder = make_series(tmp_path / "scan", noise(), affine_of())
    for path in folder.iterdir():
        image = dcmread(path)
        for keyword, vr, value in (
            ("PatientSex", "CS", "W"),
            ("StudyTime", "TM", "noon"),
            ("StudyDate", "DA", "today"),
        ):
            image[keyword] = DataElement(keyword, vr, value, validation_mode=0)
        del image.SliceThickness  # which highdicom wants
        image.save_as(path)
    volume = read_series(folder)
    write_score(tmp_path / "score.dcm", volume, volume.voxels, "Pixel score", MAKER)
    written = dcmread(tmp_path / "score.dcm")
    assert not any(written[keyword].value for keyword in ("PatientSex", "StudyTime", "StudyDate"))


def test_slices_that_rounding_turned_a_little_can_be_referred_to(make_series, tmp_path):
    def turned(k):
        return [-1, 0.0003 * k, 0, 0, -1, 0]

    folder = make_series(tmp_path / "scan", noise(), affine_of(), ImageOrientationPatient=turned)
    volume = read_series(folder)
    write_score(tmp_path / "score.dcm", volume, volume.voxels, "Pixel score", MAKER)
    back = hd.imread(tmp_path / "score.dcm").get_volume()
    np.testing.assert_array_equal(Volume.from_array(back.array, TO_RAS @ back.affine).voxels, volume.voxels)


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
        check_source(Volume(scan.voxels, scan.affine, scan.affine, name="mine"))


def test_without_highdicom_it_is_said_how_to_get_it(scan, monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name.startswith("highdicom"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'pip install "napari-vqad\[dicom\]"'):
        check_source(scan)


def test_sources_that_went_or_changed_are_named(scan, make_series, tmp_path):
    score = scan.voxels
    check_source(scan)
    path = scan.header.files[2]
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(InputError, match=rf"{path.name}, which the scan was read from, cannot be read"):
        write_score(tmp_path / "score.dcm", scan, score, "Pixel score", MAKER)
    path.write_bytes(scan.header.files[1].read_bytes())
    with pytest.raises(InputError, match="no longer the image"):
        check_source(scan)
    path.write_bytes(whole)
    for file in scan.header.files:
        image = dcmread(file)
        del image.FrameOfReferenceUID
        image.save_as(file)
    with pytest.raises(InputError, match=r"have no FrameOfReferenceUID, .* can be written as NIfTI\."):
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
