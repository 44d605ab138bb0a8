"""The sample heads, and the script that makes them."""

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.resources import samples_folder
from napari_vqad.simulate import head as simulation


@pytest.fixture
def coarse(monkeypatch):
    """The same heads at 6 mm, in a fraction of a second."""
    pytest.importorskip("nilearn", reason="carries the ICBM152 maps")
    monkeypatch.setattr(simulation, "SPACING", 6.0)
    monkeypatch.setattr(simulation, "SHAPE", (32, 41, 38))


def test_same_seed_same_head(coarse):
    first, again, other = (simulation.simulate(seed).voxels for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_brain_has_a_brains_volume(coarse):
    head = simulation.simulate(1)
    assert 1.1e6 < head.brain.sum() * 6.0**3 < 1.9e6  # mm³
    assert not head.label.any()


def test_dark_lesion_is_dark_and_pushes(coarse):
    lesion = simulation.Lesion((28, 14, 26), (18, 18, 16), rim=0.4, core=0.3, push=6.0)
    healthy, ill = simulation.simulate(3), simulation.simulate(3, (lesion,))
    where = ill.label == 1
    assert where.sum() > 20
    assert ill.voxels[where].mean() < 0.75 * healthy.voxels[where].mean()
    assert (ill.brain != healthy.brain).any()


def sample(name):
    image = nib.load(samples_folder() / f"{name}.nii.gz")
    return np.asarray(image.dataobj), image.affine


@pytest.mark.parametrize("name", ["healthy", "lesions"])
def test_samples_are_heads_with_brains(name):
    (scan, affine), (brain, same) = sample(f"{name}_t1"), sample(f"{name}_brain")
    assert np.array_equal(affine, same)
    assert nib.aff2axcodes(affine) == ("R", "A", "S")
    inside, outside = scan[brain > 0].mean(), scan[brain == 0].mean()
    assert inside > 3 * outside
    assert (scan[brain == 0] > inside).mean() > 0.005  # there is a bright scalp: it was not stripped


def test_labels_lie_in_the_brain_and_are_what_the_card_says():
    scan, label, brain = (sample(f"lesions_{kind}")[0] for kind in ("t1", "label", "brain"))
    assert not label[brain == 0].any()
    assert set(np.unique(label)) == {0, 1, 2, 3, 4, 5}
    around = np.median(scan[brain > 0])
    assert all(np.median(scan[label == n]) < 0.9 * around for n in (1, 2, 3, 4))
    assert np.median(scan[label == 5]) > 1.2 * around
