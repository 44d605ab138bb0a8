"""Studies of an edited scan: what was put in is stored, and replayed on the scan as it was read."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from saved_study import QUICK

from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.study import find_scan, open_study, save_study
from napari_vqad.simulate.recipe import Edit, Round
from napari_vqad.tuning.lab import Lab

BALL = Round(form="ball", centre=(8.0, 0.0, 0.0), radius_mm=9.0)


@pytest.fixture
def lab(explored, head):
    lab = Lab(explored, head[1])
    lab.add(Edit(kind="constant", shape=BALL, intensity=3.0))
    lab.add(Edit(kind="shuffle", shape=BALL, seed=5))
    return lab


@pytest.fixture
def edited(lab, explored):
    edited = lab.explorer(explored)
    edited.finish()
    return edited


def header_of(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("study.json"))


def test_it_opens_with_the_same_voxels_maps_and_edits(edited, lab, scan, bundle, head, tmp_path, no_networks):
    path = tmp_path / "edited.vqad"
    save_study(path, edited, head[1])
    assert header_of(path)["scan"]["path"] == str(scan)
    study = open_study(path, bundle=bundle)
    assert study.volume.name == "head (edited)"
    assert np.array_equal(study.volume.voxels, edited.scan.voxels)
    assert study.volume.edited.recipe == edited.scan.edited.recipe
    assert np.array_equal(study.explorer.map("pixel_score"), edited.map("pixel_score"))
    assert study.explorer.complete
    again = Lab(study.explorer, study.mask)
    assert again.done == lab.done
    again.clear()
    assert np.array_equal(again.explorer(study.explorer).grid.slices, lab.explorer(edited, ()).grid.slices)


def test_the_open_original_is_found_and_the_edited_scan_is_not_taken_for_it(edited, head, bundle, scan, tmp_path):
    path = tmp_path / "edited.vqad"
    save_study(path, edited, head[1])
    original = edited.scan.source
    assert find_scan(path, [edited.scan, original]) is original
    with pytest.raises(InputError, match="is not the scan"):
        open_study(path, edited.scan, bundle=bundle)


def test_a_study_of_a_scan_as_it_was_read_has_no_new_key(saved):
    assert "edits" not in header_of(saved)


def test_a_patch_from_another_scan_is_found_where_it_lies_or_among_the_open_ones(
    lab, explored, head, bundle, tmp_path, scan
):
    from napari_vqad.io.nifti import read_scan, write_map

    file = tmp_path / "other.nii.gz"
    write_map(file, head[0].voxels[::-1].copy(), head[0])
    other = read_scan(file)
    patch = {"kind": "patch", "shape": BALL, "taken_from": (0.0, 4.0, 0.0)}
    lab.add(Edit(**patch, scan=lab.foreign_scan(other, head[1])))
    edited, path = lab.explorer(explored), tmp_path / "edited.vqad"
    save_study(path, edited, head[1])
    assert np.array_equal(open_study(path, bundle=bundle).volume.voxels, edited.scan.voxels)
    file.rename(tmp_path / "moved.nii.gz")
    with pytest.raises(InputError, match="which a patch comes from, is not open"):
        open_study(path, bundle=bundle)
    assert np.array_equal(open_study(path, bundle=bundle, at_hand=[other]).volume.voxels, edited.scan.voxels)


def test_a_damaged_list_of_edits_is_refused(edited, head, bundle, tmp_path):
    from saved_study import edit

    path = tmp_path / "edited.vqad"
    save_study(path, edited, head[1])
    edit(path, edits__surprise=1)
    with pytest.raises(InputError, match="damaged: it does not fit at 'edits"):
        open_study(path, bundle=bundle)


def test_reports_and_numbers_say_what_was_put_in(edited, head):
    from napari_vqad.export.report import report_html
    from napari_vqad.export.result_file import _schema
    from napari_vqad.scoring import Result

    result = Result(edited, edited.scan, head[1], "Brain mask as given.")
    content = result.as_dict()
    assert content["scan"] == "head (edited)"
    assert content["scan_path"] is None
    assert content["edited"]["anomalies"] == list(edited.scan.edited.lines)
    assert len(content["edited"]["recipe"]["edits"]) == 2
    _schema().validate_json(json.dumps([content]))
    page = report_html(edited, content, result.review)
    warning = "Edited scan: 2 anomalies put in. This is not the patient&#x27;s scan, which is head."
    assert warning in page
    assert "2. Shuffled voxels, seed 5" in page
    assert "Anomaly report: head (edited)" in page


def test_results_of_the_original_say_nothing_of_edits_and_old_ones_are_read(explored, head):
    from napari_vqad.export.result_file import _schema
    from napari_vqad.scoring import Result

    content = Result(explored, explored.scan, head[1], "Brain mask as given.").as_dict()
    assert content["edited"] is None
    del content["edited"]  # as versions before wrote it
    _schema().validate_json(json.dumps([content]))


def test_commands_that_repeat_it_say_that_the_edited_scan_must_be_saved(edited):
    from napari_vqad.export.reproduction import reproduction

    words = " ".join(reproduction(edited).missing)
    assert "Edited scan: 2 anomalies put in: save its layer" in words
    assert "found anew" in words


def test_an_edited_scan_may_not_overwrite_its_original(edited, head, scan):
    from napari_vqad.export.output_folder import check_inputs

    with pytest.raises(InputError, match="is read for this analysis"):
        check_inputs([scan], edited.scan)


def test_dicom_files_of_an_edited_scan_say_so(head, make_series, tiny_bundle, tmp_path):
    from pydicom import dcmread

    from napari_vqad.export.dicom import export_dicom
    from napari_vqad.io.load import load_scan
    from napari_vqad.scoring import score

    affine = np.array([[0, 0, -4.0, 60], [-4.0, 0, 0, 64], [0, -4.0, 0, 56], [0, 0, 0, 1]])
    array = np.flip(head[0].voxels.transpose(1, 2, 0)).clip(0).astype(np.uint16)
    volume = load_scan(make_series(tmp_path / "scan", array, affine))
    mask = volume.voxels > 0
    settings = QUICK.model_copy(update={"method": "light", "flag_voxels": "p60"})
    result = score(replace(volume), mask=mask, bundle=tiny_bundle, device="cpu", settings=settings)
    lab = Lab(result.explorer, mask)
    centre = volume.origin + volume.spacing * np.argwhere(mask).mean(0).round()
    lab.add(Edit(kind="constant", shape=BALL.model_copy(update={"centre": tuple(centre.tolist())}), intensity=3.0))
    edited: Explorer = lab.explorer(result.explorer)
    edited.finish()
    exported = export_dicom(tmp_path / "out", edited)
    assert len(exported.files) == 2
    for file in exported.files:
        made = dcmread(file)
        assert made.SeriesDescription.startswith("EDITED SCAN, napari-vqad ")
        assert made.ContentDescription.startswith("EDITED SCAN")
        assert "1. Constant intensity, +3.0 SD" in made.ImageComments
