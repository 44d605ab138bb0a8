"""Augmentation and corruption: seeded, within bounds, and nothing outside the mask."""

import torch

from napari_vqad.evaluate.metrics import gradient_energy
from napari_vqad.train.augment import add_noise, augment, soften, warp
from napari_vqad.train.corruption import blob, corrupt


def slices_and_mask(n=6):
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(n, 1, 40, 48)
    mask[:, :, 8:32, 8:40] = 1
    slices = torch.where(mask > 0, torch.randn(n, 1, 40, 48, generator=generator), -2.0)
    return slices, mask


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_same_seed_same_slices():
    slices, mask = slices_and_mask()
    one, two, other = (augment(slices, mask, -2.0, rng(s))[0] for s in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_background_stays_background():
    slices, mask = slices_and_mask()
    moved, moved_mask = augment(slices, mask, -2.0, rng())
    assert (moved[moved_mask == 0] == -2.0).all()
    assert 0.6 < moved_mask.sum() / mask.sum() < 1.5


def test_warp_moves_slice_and_mask_alike():
    _, mask = slices_and_mask()
    moved = warp(torch.cat([mask, mask], 1), rng())
    assert torch.equal(moved[:, 0], moved[:, 1])
    assert not torch.equal(moved[:, :1], mask)


def test_corruption_spoils_patches_within_the_mask_only():
    slices, mask = slices_and_mask(64)
    spoilt = corrupt(slices, mask, rng(), share=1.0)
    assert torch.equal(spoilt[mask == 0], slices[mask == 0])
    touched = ((spoilt - slices).abs() > 0.2).flatten(1).float().mean(1)
    assert (touched > 0.01).float().mean() > 0.7
    assert touched.mean() < 0.5


def test_a_share_of_slices_stays_clean():
    slices, mask = slices_and_mask(200)
    clean = (corrupt(slices, mask, rng(), share=0.3) == slices).flatten(1).all(1).float().mean()
    assert 0.4 < clean < 0.9


def test_blob_is_one_soft_patch():
    _, mask = slices_and_mask(32)
    patch = blob(mask, rng())
    assert patch.min() >= 0
    assert patch.max() <= 1
    assert 0.005 < (patch > 0.5).float().mean() < 0.4


def test_noise_stays_within_the_mask():
    slices, mask = slices_and_mask()
    noisy = add_noise(slices, mask, rng())
    assert torch.equal(noisy[mask == 0], slices[mask == 0])
    assert (noisy != slices).any()


def test_where_nothing_is_moved_a_target_is_as_sharp_as_its_scan():
    slices, mask = slices_and_mask(200)
    targets, _ = augment(slices, mask, -2.0, rng(), sway=0.0)
    shown = soften(targets, mask, -2.0, rng(1))
    scan, target, seen = (gradient_energy(x[:, 0], mask[:, 0]) for x in (slices, targets, shown))
    assert 0.95 < target / scan < 1.1  # contrast varies by 15 % either way
    assert seen < 0.85 * target
    assert torch.equal(shown[mask == 0], slices[mask == 0])
