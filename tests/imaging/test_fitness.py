"""One verdict on whether a scan fits the model: no alarm on a T1 head, none missed on what is none."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.fitness import CONTRAST, FLAGGED, assess, check_extent, contrast
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_mask, read_scan
from napari_vqad.resources import models_folder, samples_folder

SPEC = GridSpec(shape=(72, 88), aligned=True)


@pytest.fixture(scope="module")
def template():
    return Template.load(models_folder() / "ixi-aligned")


@pytest.fixture(scope="module")
def sample(template):
    """The simulated head with lesions, its brain, and both on the grid."""
    volume = read_scan(samples_folder() / "lesions_t1.nii.gz")
    mask = read_mask(samples_folder() / "lesions_brain.nii.gz", volume)
    return volume, mask, to_grid(volume, mask, SPEC, template=template)


def doubts_of(volume, mask, grid, template):
    return " ".join(assess(volume, mask, grid, template).doubts)


def test_a_t1_head_fits(sample, template):
    found = assess(*sample, template)
    assert found.fits
    assert found.verdict == "The scan fits the model."
    assert found.measured["brain_ml"] == pytest.approx(1574, abs=10)
    assert found.measured["contrast"] > CONTRAST + 0.2


def like_flair(z):
    """Grey matter brighter than white matter, CSF dark as in T1."""
    return np.where(z > -1, np.abs(2.5 - np.abs(z)), z)


@pytest.mark.parametrize("change", [lambda z: -z, like_flair, lambda z: np.random.default_rng(0).normal(size=z.shape)])
def test_another_contrast_is_noticed(sample, template, change):
    volume, mask, grid = sample
    other = replace(grid, slices=change(grid.slices).astype(np.float32))
    assert contrast(other, template) < CONTRAST
    assert "grey and white matter" in doubts_of(volume, mask, other, template)


def test_the_picture_that_cuts_the_brain_is_noticed(sample, template):
    volume, mask, grid = sample
    top = np.flatnonzero(mask.any((0, 1)))[-1] - 14
    cut = replace(volume, voxels=volume.voxels[:, :, :top])
    assert "cuts the brain at the top" in doubts_of(cut, mask[:, :, :top], grid, template)


@pytest.mark.parametrize("scale", [0.72, 1.25])
def test_brains_of_no_adult_are_noticed(sample, template, scale):
    volume, mask, grid = sample
    other = replace(volume, affine=np.diag([scale, scale, scale, 1]) @ volume.affine)
    assert "brains of adults" in doubts_of(other, mask, grid, template)


def test_what_the_grid_says_is_repeated(sample, template):
    volume, mask, grid = sample
    assert "could not be aligned" in doubts_of(volume, mask, replace(grid, failed=True), template)
    assert "9% of the brain mask lies beyond" in doubts_of(volume, mask, replace(grid, outside=0.09), template)


def test_thick_slices_are_noticed(sample, template):
    volume, mask, grid = sample
    thick = replace(volume, affine=volume.affine @ np.diag([1, 1, 6.5 / 1.5, 1]))
    assert "6.5 mm apart" in doubts_of(thick, mask, grid, template)


def test_a_scan_with_nearly_all_slices_flagged_is_noticed(sample, template):
    found = assess(*sample, template)
    assert found.with_flagged(FLAGGED).fits
    assert "96% of the slices" in found.with_flagged(0.96).verdict


@pytest.mark.parametrize("mm", [0.001, 0.1, 30.0, 1000.0])
def test_what_no_head_measures_is_refused(mm):
    volume = Volume.from_array(np.zeros((90, 100, 80)), np.diag([mm, mm, mm, 1]), name="odd")
    with pytest.raises(InputError, match=r"odd measures .* mm, which no scan of a head does"):
        check_extent(volume)


@pytest.mark.parametrize("name", ["lgg_5872_t1", "ms19_t1"])  # the two of the least contrast
def test_real_t1_heads_with_lesions_fit(shared_data, template, name):
    from napari_vqad.imaging.brain_mask import make_mask

    volume = read_scan(shared_data / "lesions" / f"{name}.nii.gz")
    mask, _ = make_mask(volume)
    assert assess(volume, mask, to_grid(volume, mask, SPEC, template=template), template).fits


def test_a_flair_is_noticed(shared_data, template):
    from napari_vqad.imaging.brain_mask import make_mask

    volume = read_scan(shared_data / "lesions" / "lgg_6690_flair.nii.gz")
    mask, _ = make_mask(volume)
    grid = to_grid(volume, mask, SPEC, template=template)
    assert "grey and white matter" in doubts_of(volume, mask, grid, template)


def test_few_slices_of_a_healthy_head_of_another_scanner_are_flagged(shared_data):
    from napari_vqad.detectors.settings import Settings
    from napari_vqad.scoring import score

    scan = shared_data / "oasis_t1_1mm" / "1001_SS.nii.gz"
    explorer = score(scan, device="cpu", settings=Settings(method="regenerative")).explorer
    assert explorer.fitness().fits
    assert explorer.flagged_slices().sum() <= 0.1 * explorer.n_slices
    by_paper = explorer.settings.model_copy(update={"slice_score": "sample"})
    explorer.change(by_paper)
    assert explorer.flagged_slices().sum() > 0.5 * explorer.n_slices  # what AS_sample makes of another scanner


def test_strict_ends_with_a_code_of_its_own(head, tiny_bundle, tmp_path, capsys):
    from napari_vqad.cli import main
    from napari_vqad.io.nifti import write_map

    volume, mask = head
    for name, array in (("scan", volume.voxels), ("mask", mask)):
        write_map(tmp_path / f"{name}.nii.gz", array, volume)
    call = ["score", str(tmp_path / "scan.nii.gz"), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle)]
    call += ["--mask", str(tmp_path / "mask.nii.gz"), "-S", "1"]
    assert main(call) == 0
    assert main([*call, "--strict"]) == 3
    assert "may not fit" in capsys.readouterr().out
    import json

    found = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["fitness"]
    assert not found["fits"]
    assert any("brains of adults" in doubt for doubt in found["doubts"])
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "may not fit the model" in page
