"""Restoration against the plain raster-order loop, code for code."""

import pytest
import torch

from napari_vqad.nets.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.scores.nll import log_probabilities, nll
from napari_vqad.scores.noise import gumbel_batch
from napari_vqad.scores.restore import restore

K, SHAPE = 8, (4, 5)


def oracle(prior, codes, position, noise, lambda_p, method):
    """One slice, one chain: the definitions of the design's table, one code after the other."""
    original = log_probabilities(prior, codes[None], position[None])
    y = codes.clone()
    for i in range(codes.numel()):
        row, column = divmod(i, codes.shape[1])
        seen = original if method == "light" else log_probabilities(prior, y[None], position[None])
        judged = seen if method == "sequential" else original
        if -judged[0, codes[row, column], row, column] > lambda_p:
            y[row, column] = (seen[0, :, row, column] + noise[:, row, column]).argmax()
    return y


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(1)
    model = PixelSNAIL(PixelSnailConfig(channels=16, blocks=1, res_blocks=1, heads=2), K).eval().requires_grad_(False)
    # Sharpen the random network: a prior without opinions would restore everything or nothing.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.35)
    return model


@pytest.mark.parametrize("method", ["sequential", "anchored", "light"])
@pytest.mark.parametrize("lambda_p", [0.0, 1.0, 2.5, 1e6])
def test_equals_the_loop(prior, method, lambda_p):
    generator = torch.Generator().manual_seed(5)
    codes = torch.randint(K, (3, *SHAPE), generator=generator)
    position = torch.tensor([-0.5, 0.0, 0.5])
    noise = torch.from_numpy(gumbel_batch(7, [0, 1, 2], range(4), K, SHAPE))
    # A decision within float error of a tie could fall either way in batches of another size; there is none here.
    restored, passes = restore(prior, codes, position, noise, lambda_p, method)
    for i in range(3):
        for j in range(4):
            assert torch.equal(restored[i, j], oracle(prior, codes[i], position[i], noise[i, j], lambda_p, method))
    changes = (restored != codes[:, None]).flatten(2).sum(2)
    assert (passes <= changes + 2).all()
    if lambda_p == 1e6:
        assert torch.equal(restored, codes[:, None].expand_as(restored))
        assert (passes == 1).all()


def test_lambda_zero_draws_every_code(prior):
    codes = torch.zeros(1, *SHAPE, dtype=torch.long)
    noise = torch.from_numpy(gumbel_batch(0, [0], range(30), K, SHAPE))
    restored, _ = restore(prior, codes, torch.zeros(1), noise, 0.0, "anchored")
    assert (restored != 0).any(1).all()


def test_anchored_keeps_what_was_likely(prior):
    codes = torch.randint(K, (1, *SHAPE), generator=torch.Generator().manual_seed(2))
    original = nll(log_probabilities(prior, codes, torch.zeros(1)), codes)
    noise = torch.from_numpy(gumbel_batch(0, [0], range(5), K, SHAPE))
    restored, _ = restore(prior, codes, torch.zeros(1), noise, 2.0, "anchored")
    likely = (original <= 2.0)[:, None].expand_as(restored)
    assert torch.equal(restored[likely], codes[:, None].expand_as(restored)[likely])


def test_a_chain_is_the_same_alone_or_in_company(prior):
    codes = torch.randint(K, (2, *SHAPE), generator=torch.Generator().manual_seed(3))
    position = torch.zeros(2)
    noise = torch.from_numpy(gumbel_batch(0, [0, 1], range(6), K, SHAPE))
    together, _ = restore(prior, codes, position, noise, 1.5, "sequential")
    alone, _ = restore(prior, codes[1:], position[1:], noise[1:, 4:5], 1.5, "sequential")
    assert torch.equal(together[1, 4], alone[0, 0])
