"""`train qspace`: normal voxels in three parts, and the bundle."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable, Measurements
from napari_vqad.simulate.diffusion import scheme, simulated_head
from napari_vqad.simulate.diffusion_sample import write
from napari_vqad.train.qspace_data import NormalScan, normal_voxels, read_scans

SHAPE, MM = (12, 14, 11), 14.0


@pytest.fixture(scope="module")
def heads():
    return [simulated_head(scheme(2, 8, 1000.0), SHAPE, MM, seed=seed) for seed in range(3)]


def scans(heads):
    return [NormalScan(h.volume, h.brain, h.brain) for h in heads]


def test_three_scans_are_divided_by_scan(heads):
    found = normal_voxels(scans(heads))
    assert found.split.startswith("By scan")
    sizes = [int(h.brain.sum()) for h in heads]  # validation, calibration, training
    assert (len(found.validation), len(found.train)) == (sizes[0], sizes[2])
    assert sum(g.mask.sum() for g in found.calibration) == sizes[1]
    np.testing.assert_allclose(found.train.mean(0), 1, atol=1e-4)  # divided by the means of the training voxels
    values, brain = (np.moveaxis(a, 2, 0) for a in (heads[2].volume.measurements.values, heads[2].brain))
    values = values[brain]
    np.testing.assert_allclose(found.train * found.channel_means, values / values.mean(dtype=float), rtol=1e-4)


def test_one_scan_is_divided_by_slice_outside_of_doubtful_tissue(heads):
    head = heads[0]
    doubtful = np.zeros(SHAPE, bool)
    doubtful[:6] = True
    whole, half = (
        normal_voxels([NormalScan(head.volume, head.brain, head.brain & ~d)]) for d in (doubtful & False, doubtful)
    )
    assert whole.split.startswith("Within the scan")
    n = int(head.brain.sum())
    parts = [len(whole.train), len(whole.validation), sum(int(g.mask.sum()) for g in whole.calibration)]
    assert sum(parts) == n
    assert min(parts) > 0.1 * n
    assert not np.any([g.mask[:, :6] for g in half.calibration])
    assert len(half.train) < 0.7 * len(whole.train)


def test_a_scan_with_other_measurements_than_the_first_is_named(heads):
    measured = heads[1].volume.measurements
    other = GradientTable.of(measured.gradients.b * 2, measured.gradients.g)
    odd = replace(heads[1].volume, name="odd", measurements=Measurements(measured.values, other))
    with pytest.raises(InputError, match="odd has other measurements"):
        normal_voxels([*scans(heads[:1]), NormalScan(odd, heads[1].brain, heads[1].brain)])


def test_too_few_voxels_are_told(heads):
    few = heads[0].brain & (np.arange(SHAPE[0]) < 4)[:, None, None]
    with pytest.raises(InputError, match=r"There are \d+ normal voxels for validation, and at least 50 are needed"):
        normal_voxels([NormalScan(heads[0].volume, heads[0].brain, few)])


def test_a_measurement_of_zero_is_told(heads):
    measured = heads[0].volume.measurements
    values = measured.values.copy()
    values[..., 4] = 0
    dark = replace(heads[0].volume, measurements=Measurements(values, measured.gradients))
    with pytest.raises(InputError, match="Measurement 4 has the mean 0 over the normal voxels"):
        normal_voxels([NormalScan(dark, heads[0].brain, heads[0].brain)])


def test_the_command_writes_a_bundle_with_a_card(heads, tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "models" / "mine"
    data.mkdir()
    write(data, "scan", heads[0], "mask")
    doubtful = np.zeros(SHAPE, np.uint8)
    doubtful[8:, 8:] = 1
    nib.save(nib.Nifti1Image(doubtful, heads[0].volume.affine), data / "scan_doubtful.nii.gz")
    sets = ["training.steps=20", "training.validate_every=20", 'scores=["latent_distance"]', "reference='codes'"]
    words = ["train", "qspace", "--config", "qspace-phantom", "--data", str(data), "--out", str(out), "--device", "cpu"]
    given = [*words, *(w for s in sets for w in ("--set", s))]
    assert main(given) == 0
    assert main([*given, "--set", "least_sd=0.03"]) == 2
    assert "another recipe: network.least_sd is 0.02, and 0.03 here" in capsys.readouterr().err
    bundle = Bundle.load(out, "cpu")
    assert bundle.config.reference == "codes"
    assert bundle.detector.variants == ("latent_distance",)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Within the scan, by axial slice: the upper fifth" in card
    assert "their codes q(z|y) alone" in card
    assert "Adam at 0.001" in card
    assert "napari-vqad calibrate" not in card
    assert main(["calibrate", str(out), "--data", str(data)]) == 2
    assert "run 'napari-vqad train qspace' again" in capsys.readouterr().err


def test_a_folder_without_diffusion_scans_is_told(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "head.nii.gz")
    with pytest.raises(InputError, match="has no diffusion scan"):
        read_scans(tmp_path)
