"""Simulated diffusion heads, and lesions in measured scans."""

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.measurements import GradientTable, Measurements
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_labels, read_mask
from napari_vqad.resources import samples_folder
from napari_vqad.simulate import diffusion_sample
from napari_vqad.simulate.diffusion import LESIONS, Lesion, ball, scheme, simulated_head, with_lesion

pytest.importorskip("dipy", reason="computes the signals")
VALUES = np.array([1.6e-3, 0.5e-3, 0.3e-3])
TURN = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]


def tensor_scan(gradients: GradientTable, values: np.ndarray) -> Volume:
    """A scan of one tensor everywhere, without noise: S = 800 exp(−b gᵀ D g)."""
    g = gradients.g
    signal = 800 * np.exp(-gradients.b * np.einsum("ni,ij,nj->n", g, TURN @ np.diag(values) @ TURN.T, g))
    array = np.tile(signal, (4, 4, 4, 1)).astype(np.float32)
    array *= np.linspace(0.9, 1.1, 64).reshape(4, 4, 4, 1).astype(np.float32)
    affine = np.diag([2.0, 2, 2, 1])
    return Volume(array[..., 0], affine, affine, measurements=Measurements(array, gradients))


@pytest.mark.parametrize("kind", LESIONS)
def test_a_lesion_in_a_measured_scan_is_the_changed_tensor(kind):
    gradients, lesion = scheme(1, 20, 1000.0), LESIONS[kind]
    scan = tensor_scan(gradients, VALUES)
    inside = ball((4, 4, 4), np.full(3, 2.0), (1, 1, 1), 2.5)
    assert 4 < inside.sum() < 20
    ill = with_lesion(scan, inside, lesion)
    mean = VALUES.mean()
    wanted = tensor_scan(gradients, lesion.diffusivity * (mean + lesion.anisotropy * (VALUES - mean)))
    np.testing.assert_allclose(ill.measurements.values[inside], wanted.measurements.values[inside], rtol=2e-3)
    np.testing.assert_array_equal(ill.measurements.values[~inside], scan.measurements.values[~inside])
    assert scan.measurements.values is not ill.measurements.values


def test_a_brighter_image_without_weighting_shows_in_the_anatomy():
    scan = tensor_scan(scheme(1, 20, 1000.0), VALUES)
    everywhere = np.ones((4, 4, 4), bool)
    np.testing.assert_allclose(with_lesion(scan, everywhere, Lesion(signal=1.5)).voxels, 1.5 * scan.voxels, rtol=1e-4)


def test_a_lesion_needs_measurements():
    scan = tensor_scan(scheme(1, 20, 1000.0), VALUES)
    plain = Volume(scan.voxels, scan.affine, scan.affine, name="head")
    with pytest.raises(InputError, match="head is no diffusion scan"):
        with_lesion(plain, np.ones((4, 4, 4), bool), Lesion())


def test_the_ball_is_round_in_mm():
    inside = ball((9, 9, 9), np.array([1.0, 2.0, 4.0]), (4, 4, 4), 4.0)
    assert inside[:, 4, 4].sum() == 9
    assert inside[4, :, 4].sum() == 5
    assert inside[4, 4, :].sum() == 3


def test_a_head_is_the_same_for_the_same_seed_and_has_its_lesions():
    lesions = {(8, 8, 6): (LESIONS["both"], 20.0)}
    one, again, other = (simulated_head(scheme(2, 8, 1000.0), (12, 14, 11), 14.0, lesions, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.volume.measurements.values, again.volume.measurements.values)
    assert not np.array_equal(one.volume.measurements.values, other.volume.measurements.values)
    assert one.lesions[8, 8, 6] == 1
    assert not one.lesions[~one.brain].any()
    healthy = simulated_head(scheme(2, 8, 1000.0), (12, 14, 11), 14.0, seed=1)
    weighted = ~one.volume.measurements.gradients.zero
    signals = [h.volume.measurements.values[one.lesions > 0][:, weighted].mean() for h in (one, healthy)]
    assert signals[0] < 0.95 * signals[1]  # water moves more freely


def test_the_scheme_covers_the_half_sphere_evenly():
    g = scheme(3, 30, 1000.0).g[3:]
    cosines = np.abs(g @ g.T) - np.eye(30)
    nearest = np.degrees(np.arccos(cosines.max(1)))
    assert nearest.min() > 12
    assert np.allclose(np.linalg.norm(g, axis=1), 1, atol=1e-5)


def test_the_sample_is_what_the_script_writes(tmp_path):
    diffusion_sample.main([str(tmp_path)])
    names = ("diffusion.nii.gz", "diffusion.bval", "diffusion.bvec", "diffusion_brain.nii.gz", "diffusion_label.nii.gz")
    assert {p.name for p in tmp_path.iterdir()} == set(names)
    for name in names:
        made, there = tmp_path / name, samples_folder() / name
        if name.endswith(".gz"):
            apart = nib.load(made).get_fdata() - nib.load(there).get_fdata()
            assert np.abs(apart).max() <= 1  # rounding of another machine
            assert (apart != 0).mean() < 1e-3
        else:
            assert made.read_text() == there.read_text()


def test_the_sample_reads_as_it_was_simulated():
    scan = load_scan(samples_folder() / "diffusion.nii.gz")
    np.testing.assert_allclose(scan.measurements.gradients.g, diffusion_sample.GRADIENTS.g, atol=1e-5)
    assert scan.measurements.gradients.in_words == "3 at b = 0, 30 at b = 1000 s/mm²"
    brain = read_mask(samples_folder() / "diffusion_brain.nii.gz", scan)
    labels = read_labels(samples_folder() / "diffusion_label.nii.gz", scan)
    assert np.unique(labels).tolist() == [0, 1, 2, 3]
    assert sum(p.stat().st_size for p in samples_folder().glob("diffusion*")) < 1e6
    found, note = make_mask(scan)
    assert "median_otsu" in note
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.9


def test_healthy_heads_to_train_on(tmp_path, monkeypatch):
    monkeypatch.setattr(
        diffusion_sample,
        "simulated_head",
        lambda gradients, seed: simulated_head(gradients, (8, 9, 7), 20.0, seed=seed),
    )
    diffusion_sample.main([str(tmp_path), "--heads", "2"])
    scans = [load_scan(p) for p in sorted(tmp_path.glob("head??.nii.gz"))]
    assert len(scans) == 2
    assert all((tmp_path / f"head0{i}_mask.nii.gz").exists() for i in (1, 2))


def test_without_dipy_the_mask_says_so(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "dipy.segment.mask", None)
    scan = load_scan(samples_folder() / "diffusion.nii.gz")
    found, note = make_mask(scan)
    assert "dipy" in note
    assert "is not installed" in note
    brain = read_mask(samples_folder() / "diffusion_brain.nii.gz", scan)
    assert 2 * (found & brain).sum() / (found.sum() + brain.sum()) > 0.85
