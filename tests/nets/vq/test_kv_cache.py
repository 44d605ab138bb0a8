"""Rows computed one after the other from memory are the rows of the whole pass."""

import pytest
import torch

from napari_vqad.nets.vq.gpt2 import GPT2Config
from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.pixelsnail import PixelSnailConfig
from napari_vqad.nets.vq.pixelsnail_paper import PaperSnailConfig
from napari_vqad.nets.vq.protocols import ResumingPrior
from napari_vqad.nets.vq.registry import make_prior
from napari_vqad.nets.vq.two_level import TwoLevelConfig

K, H, W = 9, 6, 4
SNAIL = PixelSnailConfig(channels=16, blocks=2, res_blocks=2, heads=2, kernel=5)
PAPER = PaperSnailConfig(channels=16, blocks=2, res_blocks=2, key_channels=8, condition=8)


CONFIGS = [
    SNAIL,
    PAPER,
    PAPER.model_copy(update={"weight_norm": True, "attention": "half"}),
    GPT2Config(width=16, layers=2, heads=2, places=64),
    TwoLevelConfig(shape=(2, 2), top=SNAIL, bottom=SNAIL),  # rows 0 and 1 are the top level, half as wide
]


@pytest.fixture(scope="module", params=CONFIGS, ids=lambda c: c.kind)
def prior(request):
    torch.manual_seed(0)
    model = make_prior(request.param, K).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.requires_grad_(False)


@pytest.fixture
def codes():
    return torch.randint(K, (3, H, W), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(5, 3), (6, 5), (1, 4)])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_attention_of_half_resolution_resumes_at_odd_rows_of_odd_grids(shape, step):
    """Coarse places stand at even rows, and a window may hold none of them."""
    torch.manual_seed(0)
    prior = make_prior(PAPER.model_copy(update={"attention": "half"}), K).eval().requires_grad_(False)
    codes, (h, w) = torch.randint(K, (2, *shape)), shape
    whole, begun = prior.logits(codes, POSITION[:2]), RowCache()
    prior.resume(codes, POSITION[:2], begun)
    first = min(1, h - 1)
    memory = begun.fork(first, step, w, torch.arange(2))
    for row in range(first, h, step):
        window = slice(row, min(row + step, h))
        assert close(prior.resume(codes[:, window], POSITION[:2], memory), whole[:, :, window])
        memory.commit(min(step, h - row), w)


POSITION = torch.tensor([-0.4, 0.0, 0.3])


def close(a, b):
    return torch.allclose(a, b, atol=1e-4, rtol=1e-4)


def test_can_resume(prior):
    assert isinstance(prior, ResumingPrior)


def test_whole_grid_at_once(prior, codes):
    assert close(prior.resume(codes, POSITION, RowCache()), prior.logits(codes, POSITION))


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_window_after_window(prior, codes, step):
    whole = prior.logits(codes, POSITION)
    begun = RowCache()
    prior.resume(codes, POSITION, begun)
    memory = begun.fork(0, step, W, torch.arange(3))
    for row in range(0, H, step):
        window = slice(row, min(row + step, H))
        assert memory.row == row
        assert close(prior.resume(codes[:, window], POSITION, memory), whole[:, :, window])
        memory.commit(min(step, H - row), W)


def test_what_was_evaluated_last_counts(prior, codes):
    """An open row is evaluated with wrong codes first, then, by one chain alone, with the right ones."""
    whole = prior.logits(codes, POSITION)
    memory = RowCache()
    prior.resume(codes, POSITION, memory)
    memory = memory.fork(2, 1, W, torch.arange(3))
    wrong = codes[:, 2:3].clone()
    wrong[1] = (wrong[1] + 1) % K
    prior.resume(wrong, POSITION, memory)
    memory.select(torch.tensor([1]))
    assert close(prior.resume(codes[1:2, 2:3], POSITION[1:2], memory), whole[1:2, :, 2:3])
    memory.select(None)
    memory.commit(1, W)
    assert close(prior.resume(codes[:, 3:4], POSITION, memory), whole[:, :, 3:4])


def test_chains_go_on_from_their_slice_and_are_forgotten_when_done(prior, codes):
    memory = RowCache()
    prior.resume(codes, POSITION, memory)
    owner = torch.tensor([2, 2, 0])
    chains = codes[owner].clone()
    chains[1, 4, 0] = (chains[1, 4, 0] + 1) % K
    expected = prior.logits(chains, POSITION[owner])
    fork = memory.fork(4, 1, W, owner)
    assert close(prior.resume(chains[:, 4:5], POSITION[owner], fork), expected[:, :, 4:5])
    fork.commit(1, W)
    fork.keep(torch.tensor([1, 2]))
    left = owner[1:]
    assert close(prior.resume(chains[1:, 5:6], POSITION[left], fork), expected[1:, :, 5:6])
    # The memory that was forked is as it was.
    again = memory.fork(5, 1, W, torch.arange(3))
    assert close(prior.resume(codes[:, 5:6], POSITION, again), prior.logits(codes, POSITION)[:, :, 5:6])
