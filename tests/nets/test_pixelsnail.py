"""The prior: causality proven on gradients, attention's reach, fitting a batch."""

import pytest
import torch
from torch.nn import functional as F

from napari_vqad.nets.pixelsnail import PixelSNAIL, PixelSnailConfig

K = 7


def prior(**sizes):
    torch.manual_seed(0)
    config = PixelSnailConfig(**({"channels": 16, "blocks": 2, "res_blocks": 2, "heads": 2, "dropout": 0.0} | sizes))
    model = PixelSNAIL(config, K).eval()
    # Residual branches start at zero and would hide a leak: give every weight a value.
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("kernel", [3, 5])
def test_logits_depend_on_the_past_alone(kernel):
    """∂ logits_i / ∂ embedding_j is zero for every j ≥ i in raster order, and not for j just before."""
    model, (h, w) = prior(kernel=kernel), (4, 5)
    codes = torch.randint(K, (1, h, w))
    embedded = []
    model.embed.register_forward_hook(lambda _m, _i, out: embedded.append(out.requires_grad_()) or out)
    model.embed.weight.requires_grad_(False)
    logits = model.logits(codes, torch.zeros(1))
    for i in range(h * w):
        (gradient,) = torch.autograd.grad(logits[0, :, i // w, i % w].sum(), embedded[0], retain_graph=True)
        reach = gradient[0].abs().sum(-1).flatten()
        assert (reach[i:] == 0).all(), f"place {i} sees itself or what comes after"
        assert (reach[:i] > 0).all(), f"place {i} does not see everything before it"


def test_changing_a_code_changes_only_what_comes_after():
    model, codes = prior(), torch.randint(K, (1, 6, 6))
    other = codes.clone()
    other[0, 3, 2] = (other[0, 3, 2] + 1) % K
    changed = (model.logits(codes, torch.zeros(1)) != model.logits(other, torch.zeros(1))).any(1).flatten()
    assert not changed[: 3 * 6 + 3].any()
    assert changed[3 * 6 + 3 :].any()


def test_slice_position_matters():
    model, codes = prior(), torch.randint(K, (1, 4, 4))
    low, high = (model.logits(codes, torch.tensor([p])) for p in (-0.5, 0.5))
    assert not torch.allclose(low, high)


def test_fits_one_batch():
    torch.manual_seed(0)
    model = PixelSNAIL(PixelSnailConfig(channels=24, blocks=1, res_blocks=1, dropout=0.0), K)
    codes, position = torch.randint(K, (4, 5, 5)), torch.linspace(-0.5, 0.5, 4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = F.cross_entropy(model.logits(codes, position), codes)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.3


def test_paper_size_builds():
    with torch.device("meta"):
        model = PixelSNAIL(PixelSnailConfig(channels=128, blocks=4, res_blocks=4), 128)
        codes = torch.zeros(1, 20, 20, dtype=torch.long)
        assert model.logits(codes, torch.zeros(1)).shape == (1, 128, 20, 20)
