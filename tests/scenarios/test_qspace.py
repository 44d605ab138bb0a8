"""A diffusion scan from its file to maps, findings, report and a study that brings the same numbers back."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

import napari_vqad
from napari_vqad.cli import main
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.histograms import score_histogram
from napari_vqad.display.readout import read_out
from napari_vqad.evaluate.metrics import rank
from napari_vqad.imaging.measurements import GradientTable, Measurements
from napari_vqad.io.load import load_scan
from napari_vqad.simulate.diffusion_sample import fsl_text

SCORES = ("latent_distance", "input_distance", "elbo_sampled", "closest_distance")
LOW = "p90"


def analysis(head, bundle, mask=None, **settings):
    chosen = Settings(flag_voxels=LOW, min_volume_ml=0, pooling="none", **settings)
    brain = head.brain if mask is None else mask
    return napari_vqad.score(head.volume, mask=brain, bundle=bundle, device="cpu", settings=chosen)


def write(head, folder, name="dwi"):
    """Write a simulated head as NIfTI with FSL's gradients."""
    measured = head.volume.measurements
    nib.save(nib.Nifti1Image(measured.values, head.volume.affine), folder / f"{name}.nii.gz")
    nib.save(nib.Nifti1Image(head.brain.astype(np.uint8), head.volume.affine), folder / f"{name}_mask.nii.gz")
    b, g = fsl_text(measured.gradients)
    (folder / f"{name}.bval").write_text(b)
    (folder / f"{name}.bvec").write_text(g)
    return folder / f"{name}.nii.gz"


@pytest.mark.parametrize("score", SCORES)
def test_a_lesion_is_more_novel_than_the_rest(score, diffusion_head, tiny_qspace):
    result = analysis(diffusion_head, tiny_qspace, novelty=score)
    assert list(result.explorer.maps) == ["novelty", "pixel_score", "flagged"]
    inside = diffusion_head.brain
    found = rank(result.map("novelty")[inside], diffusion_head.lesions[inside] > 0)
    assert found.auroc > 0.6  # hardly trained
    assert (result.map("novelty")[~inside] == 0).all()
    assert np.array_equal(result.map("pixel_score"), result.map("novelty"))  # without pooling


def test_the_map_is_the_score_in_healthy_sd(diffusion_head, tiny_qspace):
    result = analysis(diffusion_head, tiny_qspace)
    detector, grid = result.explorer.detector, result.explorer.grid
    values = diffusion_head.volume.measurements.values[diffusion_head.brain]
    own = detector.score("latent_distance", values / values.mean(dtype=np.float64))
    median, high = detector.config.scores["latent_distance"]
    expected = np.zeros(diffusion_head.brain.shape)
    expected[diffusion_head.brain] = (own - median) / (high - median)
    np.testing.assert_allclose(result.map("novelty"), expected, atol=1e-4)
    assert grid.stack_to_ras(grid.mask).shape == diffusion_head.brain.shape


def test_from_the_file_to_files(diffusion_head, tiny_qspace, tmp_path, capsys):
    path = write(diffusion_head, tmp_path)
    words = ["score", str(path), "-o", str(tmp_path / "out"), "--mask", str(tmp_path / "dwi_mask.nii.gz")]
    flags = ["--bundle", str(tiny_qspace), "--novelty", "elbo_sampled", "--flag-voxels", LOW, "--min-volume-ml", "0"]
    assert main([*words, *flags, "--device", "cpu"]) == 0
    out = tmp_path / "out"
    assert {p.name for p in out.glob("*.nii.gz")} == {"novelty.nii.gz", "pixel_score.nii.gz", "flagged.nii.gz"}
    numbers = json.loads((out / "result.json").read_text())
    assert numbers["settings"]["novelty"] == "elbo_sampled"
    assert numbers["units"]["evidence_peaks"] == {"novelty": "healthy SD"}
    assert numbers["findings"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Novelty" in page
    assert "elbo_sampled" in page
    assert "NLL" not in page.split("base64")[0]
    written = nib.load(out / "novelty.nii.gz")
    assert written.shape == diffusion_head.brain.shape
    np.testing.assert_allclose(written.affine, diffusion_head.volume.affine)


def test_gradients_may_be_given_by_flags(diffusion_head, tiny_qspace, tmp_path, capsys):
    path = write(diffusion_head, tmp_path)
    b, g = ((tmp_path / f"dwi.{end}").rename(tmp_path / f"table.{end}") for end in ("bval", "bvec"))
    words = ["score", str(path), "-o", str(tmp_path / "out"), "--mask", str(tmp_path / "dwi_mask.nii.gz")]
    words += ["--bundle", str(tiny_qspace), "--device", "cpu"]
    assert main(words) == 2
    assert "b-values of a diffusion scan are missing: dwi.bval" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--b-values", str(b), "--directions", str(g)]) == 0
    assert (tmp_path / "out" / "novelty.nii.gz").exists()
    with pytest.raises(napari_vqad.InputError, match="a volume has its own"):
        napari_vqad.score(diffusion_head.volume, b_values=b, bundle=tiny_qspace)


def test_another_order_of_axes_and_measurements_gives_the_same_maps(diffusion_head, tiny_qspace, tmp_path):
    volume, rng = diffusion_head.volume, np.random.default_rng(0)
    straight = analysis(diffusion_head, tiny_qspace).map("novelty")
    order = rng.permutation(len(volume.measurements.gradients))
    g = volume.measurements.gradients
    shuffled = Measurements(volume.measurements.values[..., order], GradientTable.of(g.b[order], -g.g[order]))
    mixed = replace(diffusion_head, volume=replace(volume, measurements=shuffled))
    np.testing.assert_allclose(analysis(mixed, tiny_qspace).map("novelty"), straight, atol=1e-3)
    image = nib.load(write(diffusion_head, tmp_path))
    turned = image.as_reoriented(np.array([[2, -1], [0, 1], [1, -1]]))
    nib.save(turned, tmp_path / "turned.nii.gz")
    # FSL's directions along the axes of the turned array, which is left-handed or right-handed as it may be.
    world = g.g @ (turned.affine[:3, :3] / np.linalg.norm(turned.affine[:3, :3], axis=0))
    world[:, 0] *= -1 if np.linalg.det(turned.affine[:3, :3]) > 0 else 1
    np.savetxt(tmp_path / "turned.bvec", world.T)
    np.savetxt(tmp_path / "turned.bval", g.b[None])
    scan = load_scan(tmp_path / "turned.nii.gz")
    found = analysis(replace(diffusion_head, volume=scan), tiny_qspace)
    np.testing.assert_allclose(found.map("novelty"), straight, atol=1e-3)


def test_a_study_brings_the_same_numbers_back_and_goes_on(diffusion_head, tiny_qspace, tmp_path):
    path = write(diffusion_head, tmp_path)
    first = analysis(replace(diffusion_head, volume=load_scan(path)), tiny_qspace)
    napari_vqad.save_study(tmp_path / "one.vqad", first.explorer, first.mask, first.mask_note)
    again = napari_vqad.open_study(tmp_path / "one.vqad", bundle=tiny_qspace, device="cpu").explorer
    for name in first.explorer.maps:
        np.testing.assert_array_equal(again.map(name), first.explorer.map(name), err_msg=name)
    assert again.settings.novelty == "latent_distance"
    again.change(again.settings.model_copy(update={"novelty": "elbo_sampled"}))
    again.finish()
    other = analysis(diffusion_head, tiny_qspace, novelty="elbo_sampled")
    np.testing.assert_allclose(again.map("novelty"), other.explorer.map("novelty"), atol=1e-4)


def test_a_study_is_not_of_a_scan_with_other_measurements(diffusion_head, tiny_qspace, tmp_path):
    first = analysis(diffusion_head, tiny_qspace)
    napari_vqad.save_study(tmp_path / "one.vqad", first.explorer, first.mask, first.mask_note)
    measured = diffusion_head.volume.measurements
    values = measured.values.copy()
    values[..., 5] += 1
    other = replace(diffusion_head.volume, measurements=Measurements(values, measured.gradients))
    with pytest.raises(napari_vqad.InputError, match="is not the scan of"):
        napari_vqad.open_study(tmp_path / "one.vqad", other, bundle=tiny_qspace, device="cpu")


def test_read_out_and_histogram(diffusion_head, tiny_qspace):
    explorer = analysis(diffusion_head, tiny_qspace).explorer
    assert "Novelty " in read_out(explorer, np.zeros(3))
    found = score_histogram(explorer)
    assert found.unit == "healthy SD"
    assert found.scan.sum() == pytest.approx(1)
    assert found.healthy.sum() == pytest.approx(1)
    inside = explorer.map("pixel_score")[explorer.grid.mask]
    at = np.searchsorted(found.edges, found.lines[0].value)
    assert found.scan[at:].sum() == pytest.approx((inside > found.edges[at]).mean(), abs=0.02)
    assert found.healthy[at:].sum() == pytest.approx(0.1, abs=0.05)  # above the 90th percentile of healthy voxels


def test_a_model_of_the_anatomy_sees_the_mean_without_weighting(diffusion_head, tiny_bundle):
    plain = replace(diffusion_head.volume, measurements=None)
    settings = Settings(n_restorations=1)
    maps = [
        napari_vqad.score(v, mask=diffusion_head.brain, bundle=tiny_bundle, device="cpu", settings=settings).map("nll")
        for v in (diffusion_head.volume, plain)
    ]
    np.testing.assert_array_equal(*maps)


def one_voxel(brain):
    mask = np.zeros_like(brain)
    mask[tuple(np.argwhere(brain)[0])] = True
    return mask


def test_what_does_not_fit_is_one_sentence(diffusion_head, tiny_qspace):
    volume = diffusion_head.volume
    measured = volume.measurements
    zero = replace(volume, measurements=Measurements(measured.values * 0, measured.gradients))
    shell = GradientTable.of(measured.gradients.b * 2, measured.gradients.g)
    other = replace(volume, measurements=Measurements(measured.values, shell))
    short = GradientTable(measured.gradients.b_values[:-1], measured.gradients.directions[:-1])
    fewer = replace(volume, measurements=Measurements(measured.values[..., :-1], short))
    brain = diffusion_head.brain
    cases = [
        (replace(volume, measurements=None), brain, "is no diffusion scan, and the chosen model knows 10 diffusion"),
        (other, brain, "other measurements .* it has 2 at b = 0, 8 at b = 2000 s/mm², and the model 2 at b = 0, 8 at"),
        (fewer, brain, r"it has 9 measurements \(2 at b = 0, 7 at b = 1000 s/mm²\), and the model 2 at b = 0, 8"),
        (zero, brain, "have the mean 0 within the mask; it must be > 0"),
        (volume, one_voxel(brain), "has one single value within its mask"),
        (volume, brain & False, "The mask of .* has no voxels"),
    ]
    for scan, mask, words in cases:
        with pytest.raises(napari_vqad.InputError, match=words) as error:
            napari_vqad.score(scan, mask=mask, bundle=tiny_qspace, device="cpu")
        assert "\n" not in str(error.value)


def test_a_score_that_the_bundle_lacks_is_refused(diffusion_head, tiny_qspace):
    with pytest.raises(napari_vqad.InputError, match=r"has no novelty 'latent_density'; choose latent_distance or"):
        analysis(diffusion_head, tiny_qspace, novelty="latent_density")
