"""The scan and the model of a study: found again where they are, and others refused."""

import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from saved_study import QUICK, edit

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export import study
from napari_vqad.export.study import find_scan, open_study, save_study
from napari_vqad.files import limits
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_scan, write_map


def test_moved_together_with_its_scan(saved, scan, bundle, tmp_path):
    assert find_scan(saved) == scan
    elsewhere = tmp_path / "usb"
    shutil.copytree(scan.parent, elsewhere / "scans")
    shutil.move(saved, elsewhere / saved.name)
    scan.unlink()
    assert open_study(elsewhere / saved.name, bundle=bundle).volume.path == elsewhere / "scans" / "head.nii.gz"


def test_a_series_of_dicom_comes_back_and_its_patient_is_not_in_the_file(make_series, head, bundle, tmp_path):
    volume, mask = head
    folder = make_series(tmp_path / "series", volume.voxels.clip(0).astype(np.uint16), volume.affine)
    explorer = Explorer(bundle, QUICK)
    explorer.load_scan(load_scan(folder), mask)
    save_study(tmp_path / "series.vqad", explorer, mask)
    again = open_study(tmp_path / "series.vqad", bundle=bundle)
    np.testing.assert_array_equal(again.volume.voxels, explorer.scan.voxels)
    with zipfile.ZipFile(tmp_path / "series.vqad") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert b"t1 mprage" in content
    assert b"Doe" not in content
    assert b"P17" not in content


def test_a_scan_that_moved_is_asked_for(saved, scan, bundle, tmp_path):
    moved = scan.rename(tmp_path / "renamed.nii.gz")
    assert find_scan(saved) is None
    with pytest.raises(InputError, match=r"reading\.vqad, .*head\.nii\.gz, is not there"):
        open_study(saved, bundle=bundle)
    assert open_study(saved, moved, bundle=bundle).volume.path == moved
    at_hand = read_scan(moved)
    louder = replace(at_hand, voxels=at_hand.voxels + 1)
    assert find_scan(saved, [louder, at_hand]) is at_hand
    assert open_study(saved, at_hand, bundle=bundle).volume is at_hand


def test_another_scan_is_refused(saved, scan, head, bundle, tmp_path):
    volume, _ = head
    voxels = volume.voxels.copy()
    voxels[15, 15, 15] += 1
    write_map(tmp_path / "other.nii.gz", voxels, volume)
    shifted = replace(volume, affine=volume.affine + np.eye(4, k=3) * 2, file_affine=volume.affine + np.eye(4, k=3) * 2)
    write_map(tmp_path / "shifted.nii.gz", volume.voxels, replace(shifted, header=None))
    for name in ("other.nii.gz", "shifted.nii.gz"):
        with pytest.raises(InputError, match=rf"{name} is not the scan of .*reading\.vqad"):
            open_study(saved, tmp_path / name, bundle=bundle)
    with pytest.raises(InputError, match="loud is not the scan of"):
        open_study(saved, replace(volume, voxels=voxels, name="loud"), bundle=bundle)
    (tmp_path / "other.nii.gz").replace(scan)
    with pytest.raises(InputError, match=r"head\.nii\.gz is not the scan of"):
        open_study(saved, bundle=bundle)


def test_a_study_that_names_a_huge_folder_for_its_scan_is_refused_soon(saved, bundle, tmp_path, monkeypatch):
    (tmp_path / "huge").mkdir()
    for n in range(30):
        (tmp_path / "huge" / f"{n}.dcm").touch()
    edit(saved, scan__path=str(tmp_path / "huge"), scan__relative="huge", scan__series="1.2.3")
    monkeypatch.setattr(limits, "SEARCH_FILES", 20)
    with pytest.raises(InputError, match="huge holds more than 20 files and folders"):
        open_study(saved, bundle=bundle)


def test_the_model_by_its_weights_and_not_by_its_name(saved, tiny_bundle, tiny_masked, tmp_path):
    edit(saved, bundle__folder="/gone/tiny")
    renamed = tmp_path / "renamed"
    shutil.copytree(tiny_bundle, renamed)
    assert open_study(saved, bundles=[tiny_masked, renamed]).explorer.bundle.folder == renamed
    assert open_study(saved, bundle=renamed).explorer.bundle.folder == renamed
    with pytest.raises(InputError, match=r"the model Tiny \(tiny\), which is not here"):
        open_study(saved)
    for other in (tiny_masked, Bundle.load(tiny_masked, "cpu")):
        with pytest.raises(InputError, match=r"other weights than those of .*tiny-masked"):
            open_study(saved, bundle=other)


def test_a_model_that_is_replaced_while_the_study_opens_is_not_taken(saved, tiny_bundle, tmp_path, monkeypatch):
    mine = shutil.copytree(tiny_bundle, tmp_path / "mine")
    edit(saved, bundle__folder=str(mine))
    hashed = study.hash_of

    def and_replaced(folder):
        found = hashed(folder)
        if folder == mine:
            (mine / "calibration.json").write_bytes((mine / "calibration.json").read_bytes() + b"\n")
        return found

    monkeypatch.setattr(study, "hash_of", and_replaced)
    with pytest.raises(InputError, match="other weights"):
        open_study(saved, bundle=mine)
