"""Likelihood and restoration with a prior that sees both sides, against what the equations say place by place."""

import pytest
import torch
from torch.nn import functional as F

from napari_vqad.detectors.vq.masked import fold_of, masked_nll, nll_by_folds, resample
from napari_vqad.nets.vq.masked_transformer import MaskedConfig, MaskedTransformer

K = 6


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    config = MaskedConfig(width=16, layers=1, heads=2, dropout=0.0, condition=8, max_side=8, doubt=2.5)
    model = MaskedTransformer(config, K).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.requires_grad_(False)


CODES = torch.randint(K, (2, 5, 6), generator=torch.Generator().manual_seed(3))
POSITION = torch.tensor([-0.3, 0.2])


def one_by_one(prior, hidden):
    """−ln p(x_i | …), each place asked alone."""
    found, fold = torch.zeros(CODES.shape), fold_of((5, 6), prior.folds)
    for b in range(2):
        for i in range(5):
            for j in range(6):
                asked = (hidden[b] | (fold == fold[i, j]))[None]
                log_p = F.log_softmax(prior.logits_beside(CODES[b : b + 1], asked, POSITION[b : b + 1]), 1)
                found[b, i, j] = -log_p[0, CODES[b, i, j], i, j]
    return found


def test_neighbours_are_in_other_folds():
    fold = fold_of((6, 7), 4)
    assert set(fold.flatten().tolist()) == {0, 1, 2, 3}
    for dy, dx in ((0, 1), (1, 0), (1, 1)):
        assert (fold[dy:, dx:] != fold[: 6 - dy, : 7 - dx]).all()
    assert (fold[1:, :-1] != fold[:-1, 1:]).all()


def test_by_folds_is_the_place_asked_alone(prior):
    hidden = torch.rand(CODES.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    assert torch.allclose(nll_by_folds(prior, CODES, POSITION, hidden), one_by_one(prior, hidden), atol=1e-5)


def test_second_pass_hides_what_the_first_doubts(prior):
    first = one_by_one(prior, torch.zeros(CODES.shape, dtype=torch.bool))
    unlikely = first > prior.doubt
    assert unlikely.any()
    assert not unlikely.all()
    expected = one_by_one(prior, unlikely)
    assert not torch.allclose(first, expected, atol=1e-3)
    assert torch.allclose(masked_nll(prior, CODES, POSITION), expected, atol=1e-5)


@pytest.mark.parametrize("rounds", [2, 5])
def test_more_rounds_look_for_u_again(prior, monkeypatch, rounds):
    monkeypatch.setattr(prior, "rounds", rounds)
    found = one_by_one(prior, torch.zeros(CODES.shape, dtype=torch.bool))
    for _ in range(rounds):
        found = one_by_one(prior, found > prior.doubt)
    assert torch.allclose(masked_nll(prior, CODES, POSITION), found, atol=1e-5)


def test_resampling_keeps_the_likely_and_draws_the_rest_from_what_is_likely(prior):
    unlikely = torch.zeros(CODES.shape, dtype=torch.bool)
    unlikely[:, 1:3, 2:4] = True
    uniform = torch.rand(2, 400, K, 5, 6, generator=torch.Generator().manual_seed(2)).clamp(1e-7, 1 - 1e-7)
    drawn = resample(prior, CODES, POSITION, unlikely, -(-uniform.log()).log())
    assert drawn.shape == (2, 400, 5, 6)
    assert (drawn == CODES[:, None])[~unlikely[:, None].expand_as(drawn)].all()
    p = prior.logits_beside(CODES, unlikely, POSITION).softmax(1)
    share = F.one_hot(drawn, K).float().mean(1).movedim(-1, 1)
    at = unlikely[:, None].expand_as(p)
    assert (share - p)[at].abs().max() < 0.12  # 400 draws: 4 standard errors are 0.1


def test_what_is_hidden_decides_nothing(prior):
    """Other codes under u, the same draws."""
    unlikely = torch.zeros(CODES.shape, dtype=torch.bool)
    unlikely[:, 2:4, 1:4] = True
    noise = torch.randn(2, 3, K, 5, 6, generator=torch.Generator().manual_seed(5))
    other = torch.where(unlikely, (CODES + 1) % K, CODES)
    assert torch.equal(
        resample(prior, CODES, POSITION, unlikely, noise), resample(prior, other, POSITION, unlikely, noise)
    )
