"""Restoration against the plain raster-order loop, code for code.

Both ways compute the same sums in another order, so that a decision within float error of a tie (ℓ_i of λ_p, or the
best draw of the second best) may fall either way, and all codes after it with it. The loop tells how close its
closest decision was: chains that came within `TIE` are left out, and most must not be.
"""

import numpy as np
import pytest
import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.vq.gumbel import gumbel_batch
from napari_vqad.detectors.vq.likelihood import log_probabilities, nll
from napari_vqad.detectors.vq.restoration import PLACES, first_pass, restore
from napari_vqad.evaluate.reference_loop import restore_by_loop
from napari_vqad.nets.vq.gpt2 import GPT2, GPT2Config
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.vq.pixelsnail_paper import PaperSNAIL, PaperSnailConfig
from napari_vqad.nets.vq.two_level import TwoLevelConfig, TwoLevelPrior

K, SHAPE = 8, (4, 5)
TIE = 1e-4  # nats
METHODS = ["sequential", "anchored", "light"]


def assert_equals_the_loop(prior, codes, position, noise, lambda_p, method, **how):
    begun = first_pass(prior, codes, position, noise)
    restored, passes = restore(begun, lambda_p, method, **how)
    clear = 0
    for i in range(len(codes)):
        expected, closest = restore_by_loop(prior, codes[i], position[i], noise[i], lambda_p, method)
        for j in (closest > TIE).nonzero()[:, 0].tolist():
            assert torch.equal(restored[i, j], expected[j]), (i, j)
            clear += 1
    assert clear >= 0.9 * noise.shape[0] * noise.shape[1]
    return restored, passes


class Sharp(PixelSNAIL):
    """A random network with opinions: a fresh prior would restore everything or nothing."""

    def __init__(self, seed=1, std=0.35):
        torch.manual_seed(seed)
        super().__init__(PixelSnailConfig(channels=16, blocks=2, res_blocks=1, heads=2), K)
        for parameter in self.parameters():
            torch.nn.init.normal_(parameter, std=std)
        self.eval().requires_grad_(False)


class Counter:
    """A causal prior that is no network and cannot resume: codes follow from how many of each kind came before."""

    n_codes = K

    def logits(self, codes, position):
        one_hot = torch.nn.functional.one_hot(codes.flatten(1), K).float()
        before = one_hot.cumsum(1) - one_hot
        turn = torch.arange(K) * (1 + position[:, None, None])
        return (torch.sin(before + turn) * 2).transpose(1, 2).unflatten(2, codes.shape[1:])


def sharp_gpt2():
    """As `Sharp`, with the other network."""
    torch.manual_seed(1)
    model = GPT2(GPT2Config(width=16, layers=2, heads=2, condition=8, places=64), K)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.35)
    return model.eval().requires_grad_(False)


def sharp_paper(**choices):
    """PixelSNAIL in its own wiring."""
    torch.manual_seed(2)
    model = PaperSNAIL(PaperSnailConfig(channels=16, blocks=1, res_blocks=1, key_channels=8, condition=8, **choices), K)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


PRIORS = {
    "PixelSNAIL": Sharp,
    "own wiring": sharp_paper,
    "own wiring, half": lambda: sharp_paper(weight_norm=True, attention="half"),
    "GPT-2": sharp_gpt2,
    "another prior": Counter,
}


@pytest.fixture(scope="module", params=PRIORS.values(), ids=PRIORS)
def prior(request):
    return request.param()


def some(n=3, chains=4, seed=7, shape=SHAPE):
    codes = torch.randint(K, (n, *shape), generator=torch.Generator().manual_seed(5))
    return (
        codes,
        torch.linspace(-0.5, 0.5, n),
        torch.from_numpy(gumbel_batch(seed, list(range(n)), range(chains), K, shape)),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("lambda_p", [0.0, 1.0, 2.5, 6.0, 1e6])
@pytest.mark.parametrize(("seed", "chains"), [(7, 4), (0, 1), (11, 15)])
def test_equals_the_loop(prior, method, lambda_p, seed, chains):
    codes, position, noise = some(seed=seed, chains=chains)
    restored, passes = assert_equals_the_loop(prior, codes, position, noise, lambda_p, method)
    changes = (restored != codes[:, None]).flatten(2).sum(2)
    assert (passes <= codes[0].numel() + 1).all()
    if lambda_p == 1e6:  # nothing is unlikely: one pass for all, and not a single change
        assert not changes.any()
        assert torch.allclose(passes, torch.tensor(1 / chains))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("places", [1, 25, 60, 10_000])
def test_windows_of_any_height_agree(monkeypatch, method, places):
    monkeypatch.setitem(PLACES, "cpu", places)
    codes, position, noise = some(2, 3, shape=(7, 4))
    assert_equals_the_loop(Sharp(3), codes, position, noise, 1.5, method)


def test_slices_where_nothing_is_unlikely_stay_in_company_of_others():
    prior = Sharp()
    codes, position, noise = some(2)
    worst = nll(log_probabilities(prior, codes, position), codes).flatten(1).max(1).values
    between = float(worst.mean())
    assert worst.min() < between < worst.max()
    restored, _ = assert_equals_the_loop(prior, codes, position, noise, between, "sequential")
    quiet = int(worst.argmin())
    assert torch.equal(restored[quiet], codes[quiet].expand_as(restored[quiet]))


@pytest.mark.parametrize("method", METHODS)
def test_a_guess_changes_nothing(method):
    prior, (codes, position, noise) = Sharp(), some()
    begun = first_pass(prior, codes, position, noise)
    near = restore(begun, 1.3, method).codes
    cold, warm = (restore(begun, 1.5, method, guess) for guess in (None, near))
    wild = torch.randint(K, near.shape, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cold.codes, warm.codes)
    assert torch.equal(cold.codes, restore(begun, 1.5, method, wild).codes)
    if method != "light":
        again = restore(begun, 1.5, method, cold.codes)
        assert torch.equal(again.codes, cold.codes)
        assert again.passes.sum() <= cold.passes.sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("places", [1, 40, 10_000])
def test_two_levels_are_restored_from_top_to_bottom(monkeypatch, method, places):
    """The loop in raster order over both levels; windows end within the top level, at its end, and beyond."""
    monkeypatch.setitem(PLACES, "cpu", places)
    torch.manual_seed(1)
    sizes = PixelSnailConfig(channels=16, blocks=1, res_blocks=1, heads=2, condition=8)
    prior = TwoLevelPrior(TwoLevelConfig(shape=(3, 2), top=sizes, bottom=sizes), K)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.35)
    prior.eval().requires_grad_(False)
    levels = CodeLevels((3, 2), (6, 4))
    codes, position, noise = some(2, 3, shape=levels.shape)
    codes = codes * levels.is_code
    restored, _ = assert_equals_the_loop(prior, codes, position, noise, 1.5, method)
    assert (restored[..., ~levels.is_code] == 0).all()
    changed = restored != codes[:, None]
    assert all(part.any() for part in levels.split(changed.any(0).any(0)[None]))
    # Under a coarse code that is another now every fine one is drawn, likely or not.
    under = levels.descendants(changed.flatten(0, 1)).unflatten(0, changed.shape[:2])
    assert under.any()
    for j in range(restored.shape[1]):
        given = codes if method == "light" else restored[:, j]
        best = (log_probabilities(prior, given, position) + noise[:, j]).argmax(1)
        assert torch.equal(restored[:, j][under[:, j]], best[under[:, j]])


@pytest.fixture(scope="module")
def sample():
    """The bundled model, codes and positions of two slices of a sample head, and noise."""
    from napari_vqad.imaging.layout import to_grid
    from napari_vqad.io.nifti import read_mask, read_scan
    from napari_vqad.resources import samples_folder

    bundle = Bundle.load("ixi-aligned", "cpu")
    scan = read_scan(samples_folder() / "lesions_t1.nii.gz")
    mask = read_mask(samples_folder() / "lesions_brain.nii.gz", scan)
    grid = to_grid(scan, mask, bundle.config.grid, template=bundle.template)
    chosen, (rows, columns) = [25, 40], (slice(5, 13), slice(4, 16))  # a window: the loop over all of it takes minutes
    position = torch.from_numpy(grid.position[chosen])
    noise = torch.from_numpy(gumbel_batch(3, chosen, range(6), bundle.detector.tokenizer.n_codes, (8, 12)))
    codes = torch.from_numpy(bundle.detector.encode(grid.slices[chosen], grid.position[chosen])).long()
    return bundle, codes[:, rows, columns], position, noise


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", ["p50", "p90", "p99"])
def test_bundled_model_equals_the_loop(method, level, sample):
    """Real weights on real code statistics: slices of the sample head."""
    bundle, codes, position, noise = sample
    lambda_p = bundle.calibration.value("nll", level)
    with torch.inference_mode():
        restored, passes = assert_equals_the_loop(bundle.detector.prior, codes, position, noise, lambda_p, method)
    assert (restored != codes[:, None]).any()
    assert passes.max() < 12


def test_lambda_zero_draws_every_code():
    codes = torch.zeros(1, *SHAPE, dtype=torch.long)
    noise = torch.from_numpy(gumbel_batch(0, [0], range(30), K, SHAPE))
    restored, _ = restore(first_pass(Sharp(), codes, torch.zeros(1), noise), 0.0, "anchored")
    assert (restored != 0).any(1).all()


def test_anchored_keeps_what_was_likely():
    prior, (codes, position, noise) = Sharp(), some(1, 5)
    original = nll(log_probabilities(prior, codes, position), codes)
    restored, _ = restore(first_pass(prior, codes, position, noise), 2.0, "anchored")
    likely = (original <= 2.0)[:, None].expand_as(restored)
    assert torch.equal(restored[likely], codes[:, None].expand_as(restored)[likely])


@pytest.mark.parametrize("method", METHODS)
def test_a_chain_is_the_same_alone_or_in_company(method):
    prior, (codes, position, noise) = Sharp(), some(2, 6)
    together = restore(first_pass(prior, codes, position, noise), 1.5, method).codes
    alone = restore(first_pass(prior, codes[1:], position[1:], noise[1:, 4:5]), 1.5, method).codes
    assert torch.equal(together[1, 4], alone[0, 0])


def test_anchored_is_cheaper_than_the_grid_is_long():
    """Few passes: the guess is nearly right, rows above are not computed again, finished chains are dropped."""
    prior, (codes, position, noise) = Sharp(), some(2, 15, shape=(8, 8))
    _, passes = restore(first_pass(prior, codes, position, noise), 3.0, "anchored")
    assert passes.mean() < 4
    assert len(np.unique(passes)) > 1


def test_check_is_asked_and_can_end_the_work():
    prior, (codes, position, noise) = Sharp(), some()

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        restore(first_pass(prior, codes, position, noise), 0.5, "anchored", check=stop)
