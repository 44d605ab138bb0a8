"""What holds for every detector of the registry: loading, wrong files, the scan's space, cancelling."""

import shutil

import nibabel as nib
import numpy as np
import pytest

import napari_vqad
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.registry import DETECTORS, detector_class
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.io.load import load_scan

BUNDLES = {
    "vq": "tiny_bundle",
    "vae-restoration": "tiny_restoration",
    "anogan": "tiny_anogan",
    "pca": "tiny_pca",
    "autoencoder": "tiny_autoencoder",
    "vae": "tiny_vae",
    "ganomaly": "tiny_ganomaly",
    "histogram": "tiny_histogram",
    "dfkde": "tiny_dfkde",
    "qspace": "tiny_qspace",
}
QUICK = {"search_steps": 2, "descent_steps": 2, "n_restorations": 2, "method": "light", "lambda_p": "p90"}


@pytest.fixture(params=DETECTORS)
def folder(request):
    """The bundle of each detector; a detector without one fails here."""
    return request.getfixturevalue(BUNDLES[request.param])


@pytest.fixture
def head(folder, head, diffusion_head):
    """A scan that the detector is made for, and its brain mask."""
    measured = Bundle.load(folder, "cpu").config.grid.measurements is not None
    return (diffusion_head.volume, diffusion_head.brain) if measured else head


def written(volume, turn, path):
    """Write a scan with its axes turned; the gradients of a diffusion scan as MRtrix does, in scanner space."""
    measured = volume.measurements
    image = nib.Nifti1Image(volume.voxels if measured is None else measured.values, volume.affine)
    image = image if turn is None else image.as_reoriented(np.array(turn))
    nib.save(image, path)
    if measured is not None:
        table = np.column_stack([measured.gradients.g, measured.gradients.b])
        np.savetxt(path.with_name(path.name.replace(".nii.gz", ".b")), table)
    return image


def scored(folder, volume, mask):
    """An explorer with a finished analysis."""
    bundle = Bundle.load(folder, "cpu")
    known = set(bundle.detector.Settings.model_fields)
    explorer = Explorer(bundle, Settings(**{name: value for name, value in QUICK.items() if name in known}))
    explorer.load_scan(volume, mask)
    explorer.finish()
    return explorer


def numbers(explorer):
    """Everything that a detector says of a scan: its maps and slice scores."""
    own = [explorer.map(name) for name in explorer.maps]
    return [*own, explorer.slice_scores()]


def test_loaded_from_another_place_it_is_the_same(folder, head, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert Bundle.load(copy, "cpu").hash == Bundle.load(folder, "cpu").hash
    before, after = (numbers(scored(of, *head)) for of in (folder, copy))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(np.nanmax(values) > np.nanmin(values) for values in before)


def test_a_file_of_another_model_is_refused_in_a_sentence(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    files = detector_class(Bundle.load(folder, "cpu").detector.kind).files
    for name in files:
        right = (copy / name).read_bytes()
        np.savez(copy / "other.npz", a=np.zeros(3))
        shutil.move(copy / "other.npz", copy / name)
        with pytest.raises(InputError, match=name) as caught:
            Bundle.load(copy, "cpu")
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)
        (copy / name).write_bytes(right)
    Bundle.load(copy, "cpu")


def test_maps_lie_in_the_scans_space_in_two_orders_of_axes(folder, head, tmp_path):
    found = []
    for name, turn in (("straight", None), ("turned", [[2, -1], [0, 1], [1, -1]])):
        file = written(head[0], turn, tmp_path / f"{name}.nii.gz")
        volume = load_scan(tmp_path / f"{name}.nii.gz")
        explorer = scored(folder, volume, head[1])
        result = napari_vqad.Result(explorer, volume, head[1], "")
        result.save(tmp_path / name)
        maps = {}
        for one in sorted(path.name for path in (tmp_path / name).glob("*.nii.gz")):
            saved = nib.load(tmp_path / name / one)
            assert saved.shape == file.shape[:3]
            np.testing.assert_allclose(saved.affine, file.affine, atol=1e-4)
            maps[one] = nib.as_closest_canonical(saved).get_fdata()
        found.append((maps, explorer.slice_scores()))
    (maps, slices), (turned_maps, turned_slices) = found
    assert maps.keys() == turned_maps.keys()
    assert bool(maps) == (explorer.detector.scored is not None)
    for one, values in maps.items():
        np.testing.assert_allclose(turned_maps[one], values, atol=2e-3, err_msg=one)
    np.testing.assert_allclose(turned_slices, slices, atol=2e-3)


def test_a_cancelled_run_stops_before_its_next_slices(folder, head):
    bundle = Bundle.load(folder, "cpu")
    explorer = Explorer(bundle)
    explorer.load_scan(*head)
    work = explorer.work()
    next(work)
    explorer.cancel()
    assert list(work) == []
    assert not explorer.complete
    kept = explorer.stages().results[explorer.phases[0].names[0]]
    assert 0 < sum(map(bool, kept)) < len(kept)
