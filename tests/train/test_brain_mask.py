"""Training of the mask network on heads simple enough to be learned in seconds."""

import nibabel as nib
import numpy as np
import pytest
import torch

from napari_vqad.imaging import brain_mask
from napari_vqad.imaging.volume import Volume
from napari_vqad.train import brain_mask as training
from napari_vqad.train.fit import Schedule, state_of

MM = 8.0  # a voxel of the simple heads


def simple_head(seed, shape=(22, 26, 26)):
    """A dark shell around a bright brain, in air with noise, cut at the neck; and its labels."""
    rng = np.random.default_rng(seed)
    at = np.indices(shape) - (np.array(shape) / 2 + rng.uniform(-1, 1, 3))[:, None, None, None]
    radius = np.linalg.norm(at / np.array([8, 10, 9])[:, None, None, None], axis=0)
    neck = (np.hypot(at[0], at[1]) < 5) & (at[2] < 0)
    brain = radius < 0.75
    head = np.where(brain, 600, np.where((radius < 1) | neck, 300, 10)) + 20 * np.abs(rng.normal(size=shape))
    return head.astype(np.int16), (brain * rng.integers(1, 5, shape)).astype(np.uint8)


@pytest.fixture
def pairs():
    """Two heads and masks, (2, 1, 24, 24, 24), as `load` gives them."""
    found = [simple_head(seed, (24, 24, 24)) for seed in (0, 1)]
    heads = np.array([brain_mask.normalise(h.astype(np.float32)) for h, _ in found])[:, None]
    masks = np.array([m > 0 for _, m in found])[:, None]
    return torch.from_numpy(heads).half(), torch.from_numpy(masks).half()


SCHEDULE = Schedule(steps=24, batch=2, lr=1e-2, seed=0, validate_every=6)


def curve(folder):
    return state_of(folder)["history"]


def test_the_loss_falls(pairs, tmp_path):
    training.train(pairs, pairs, tmp_path, SCHEDULE)
    history = curve(tmp_path)
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert history["held_out"][-1] < 0.7 * history["held_out"][0]


def test_a_killed_training_goes_on_where_it_was(pairs, tmp_path, monkeypatch):
    whole = training.train(pairs, pairs, tmp_path / "whole", SCHEDULE)
    clock = iter(range(0, 10**9, 100))  # a checkpoint a minute: here time flies
    monkeypatch.setattr("napari_vqad.train.fit.time.monotonic", lambda: next(clock))
    augment, calls = training.augment, []

    def killed(*args):
        calls.append(1)
        if len(calls) > 14:
            raise KeyboardInterrupt
        return augment(*args)

    monkeypatch.setattr(training, "augment", killed)
    with pytest.raises(KeyboardInterrupt):
        training.train(pairs, pairs, tmp_path / "broken", SCHEDULE)
    monkeypatch.setattr(training, "augment", augment)
    again = training.train(pairs, pairs, tmp_path / "broken", SCHEDULE)
    assert curve(tmp_path / "broken")["step"] == [6, 12, 18, 24]
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_augmentation_keeps_head_and_mask_together(pairs):
    heads, masks = (t.float() for t in pairs)
    for seed in range(8):
        head, mask = training.augment(heads, masks, torch.Generator().manual_seed(seed))
        assert head.shape == mask.shape == heads.shape
        assert torch.isfinite(head).all()
        assert 0 <= mask.min() <= mask.max() <= 1
        inside, outside = head[mask > 0.9].mean(), head[mask < 0.1].mean()
        assert inside > outside + 0.5
    again = training.augment(heads, masks, torch.Generator().manual_seed(7))[0]
    assert torch.equal(again, head)


def test_a_mask_lands_on_the_networks_grid_where_its_head_does():
    head, labels = simple_head(0)
    volume = Volume.from_array(head, np.diag([MM, MM, MM, 1]))
    box, offset = brain_mask.to_network_grid(volume)
    mask = training.on_network_grid(labels > 0, volume, offset)
    assert mask.shape == box.shape == brain_mask.SIDES
    assert mask.sum() * brain_mask.SPACING**3 == pytest.approx((labels > 0).sum() * MM**3, rel=0.03)
    assert box[mask > 0.95].mean() > box[mask < 0.05].mean() + 2


def test_dice_by_hand():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert training.dice(a, b) == 0.5
    assert float(training.soft_dice(torch.tensor(a).float(), torch.tensor(b).float())) == 0.5


def test_the_command_writes_what_make_mask_loads(tmp_path, monkeypatch):
    data, models = tmp_path / "data", tmp_path / "models"
    for folder in ("t1", "dlmuse_seg"):
        (data / folder).mkdir(parents=True)
    for i in range(3):  # validation, calibration, training
        head, labels = simple_head(i)
        affine = np.diag([MM, MM, MM, 1])
        nib.save(nib.Nifti1Image(head, affine), data / "t1" / f"S{i}.nii.gz")
        nib.save(nib.Nifti1Image(labels, affine), data / "dlmuse_seg" / f"S{i}_DLMUSE.nii.gz")
    out = models / "brainmask-t1"
    arguments = ["brainmask", "--data", str(data), "--out", str(out), "--steps", "2", "--threads", "1"]
    monkeypatch.setattr("sys.argv", arguments)
    training.main()
    assert "--steps 2 --seed 0" in (out / "README.md").read_text()
    monkeypatch.setattr(brain_mask, "models_folder", lambda: models)
    brain_mask.bundled_network.cache_clear()
    try:
        volume = Volume.from_array(head, affine)
        mask, unsure = brain_mask.network_mask(volume)
    finally:
        brain_mask.bundled_network.cache_clear()
    assert mask.shape == head.shape
    assert unsure >= 0
