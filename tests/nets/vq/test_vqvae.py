"""The tokenizer: shapes, straight-through gradients, dead codes, fitting a batch."""

import pytest
import torch
from pydantic import ValidationError

from napari_vqad.nets.vq.codebook import Codebook, perplexity
from napari_vqad.nets.vq.registry import make_own
from napari_vqad.nets.vq.vqvae import VQVAE, TokenizerConfig, reconstruct
from napari_vqad.nets.vq.vqvae2 import VQVAE2Config

SMALL = TokenizerConfig(channels=(8, 8, 8), blocks=(1, 1, 1), n_codes=16, code_dim=4, condition=8)
TWO_LEVELS = VQVAE2Config(**SMALL.model_dump(exclude={"kind"}), top_channels=8, top_blocks=1)


@pytest.mark.parametrize(("patch", "levels", "stride"), [(1, 4, 8), (2, 3, 8), (2, 2, 4), (1, 5, 16)])
def test_stride_is_patch_times_halvings(patch, levels, stride):
    config = TokenizerConfig(channels=(8,) * levels, blocks=(1,) * levels, patch=patch, n_codes=8, code_dim=4)
    model = VQVAE(config).eval()
    codes = model.encode(torch.randn(2, 1, 160, 80), torch.zeros(2))
    assert model.stride == stride
    assert codes.shape == (2, 160 // stride, 80 // stride)
    assert model.decode(codes, torch.zeros(2)).shape == (2, 1, 160, 80)


def test_nearest_is_the_smallest_distance():
    book, latents = Codebook(11, 3), torch.randn(2, 3, 4, 5)
    distance = ((latents[:, None] - book.vectors[None, :, :, None, None]) ** 2).sum(2)
    assert torch.equal(book.nearest(latents), distance.argmin(1))


def test_gradient_passes_straight_through():
    book, latents = Codebook(7, 3).eval(), torch.randn(1, 3, 2, 2, requires_grad=True)
    quantised, _, _ = book(latents)
    (quantised * torch.arange(12.0).view(1, 3, 2, 2)).sum().backward()
    assert torch.equal(latents.grad, torch.arange(12.0).view(1, 3, 2, 2))


def test_dead_codes_are_revived():
    torch.manual_seed(0)
    book = Codebook(8, 2).train()
    book.vectors.copy_(torch.full((8, 2), 100.0))
    book.vectors[0] = 0.0
    book.usage.fill_(1e-3)
    book.sums.copy_(book.vectors)
    latents = torch.randn(4, 2, 8, 8)
    for _ in range(30):
        book(latents)
    assert perplexity(book.nearest(latents), 8) > 4


def test_a_codebook_by_gradient_follows_the_latents_and_not_the_encoder():
    """‖sg(z) − e‖² moves the codes that were chosen towards their latents; the latents have the commitment alone."""
    torch.manual_seed(0)
    book, latents = Codebook(4, 2).train(), torch.randn(3, 2, 5, 5, requires_grad=True)
    book.learn_by_gradient()
    assert float(book.vectors.detach().abs().max()) <= 1 / 4
    before = book.vectors.detach().clone()
    _, codes, losses = book(latents)
    assert torch.equal(book.vectors, before)  # no moving average, no revival
    (gradient,) = torch.autograd.grad(losses.codebook, book.vectors, retain_graph=True)
    flat, chosen = latents.detach().permute(0, 2, 3, 1).reshape(-1, 2), codes.reshape(-1)
    for k in range(4):
        apart = (before[k] - flat[chosen == k]).sum(0) * 2 / flat.numel()
        assert torch.allclose(gradient[k], apart, atol=1e-6)
    assert torch.autograd.grad(losses.codebook, latents, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses.commitment, book.vectors, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(losses.commitment, latents)[0].abs().sum() > 0


def test_weights_of_a_codebook_by_gradient_are_those_of_any_other():
    learnt, plain = Codebook(4, 2), Codebook(4, 2)
    learnt.learn_by_gradient()
    plain.load_state_dict(learnt.state_dict())
    assert torch.equal(plain.vectors, learnt.vectors)
    assert "vectors" not in dict(plain.named_parameters())


def test_a_codebook_by_gradient_may_begin_at_latents_of_the_first_batch_alone():
    torch.manual_seed(0)
    book, first = Codebook(6, 2).train(), torch.randn(2, 2, 4, 4) + 5
    book.learn_by_gradient(start_at_latents=True)
    book(first)
    flat = first.permute(0, 2, 3, 1).reshape(-1, 2)
    assert torch.cdist(book.vectors.detach(), flat).amin(1).max() < 1e-6
    resumed = Codebook(6, 2).train()
    resumed.learn_by_gradient(start_at_latents=True)
    resumed.load_state_dict(book.state_dict())
    resumed(torch.randn(2, 2, 4, 4))  # another batch does not begin anew
    assert torch.equal(resumed.vectors, book.vectors)


def test_a_codebook_of_moving_averages_has_no_loss_of_its_own():
    _, _, losses = Codebook(4, 2).train()(torch.randn(1, 2, 3, 3, requires_grad=True))
    assert float(losses.codebook) == 0
    assert not losses.codebook.requires_grad


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    model = VQVAE(SMALL.model_copy(update={"dropout": 0.5}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    slices, place = torch.randn(1, 1, 32, 32), model.position(torch.zeros(1))
    assert not torch.equal(model.train().encoder(slices, place), model.encoder(slices, place))
    assert torch.equal(model.eval().encoder(slices, place), model.encoder(slices, place))


def test_eval_leaves_the_codebook_alone():
    book = Codebook(8, 2).eval()
    before = book.vectors.clone()
    book(torch.randn(2, 2, 4, 4))
    assert torch.equal(book.vectors, before)


def test_perplexity_counts_codes_in_even_use():
    assert float(perplexity(torch.tensor([0, 1, 2, 3]), 10)) == pytest.approx(4)
    assert float(perplexity(torch.tensor([5, 5, 5]), 10)) == pytest.approx(1)


@pytest.mark.parametrize("config", [SMALL, TWO_LEVELS], ids=lambda c: c.kind)
def test_fits_one_batch(config):
    torch.manual_seed(0)
    model, position = make_own(config).train(), torch.tensor([-0.5, 0.5])
    slices = torch.nn.functional.interpolate(torch.randn(2, 1, 4, 4), (32, 32), mode="bilinear")
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        again, _, latent = model(slices, position)
        loss = (again - slices).abs().mean() + 0.25 * latent.commitment
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rest = (reconstruct(model.eval(), slices, position) - slices).abs().mean()
    assert rest < 0.5 * slices.abs().mean()


def test_slice_position_matters():
    torch.manual_seed(0)
    model = VQVAE(SMALL).eval()
    for block in model.decoder.levels.modules():
        if hasattr(block, "conv2"):
            torch.nn.init.normal_(block.conv2.weight)
    codes = torch.zeros(1, 4, 4, dtype=torch.long)
    low, high = (model.decode(codes, torch.tensor([p])) for p in (-0.5, 0.5))
    assert not torch.allclose(low, high)


def test_context_lets_a_code_see_farther_and_widths_may_differ():
    torch.manual_seed(0)
    sizes = {"channels": (8, 12), "blocks": (1, 1), "n_codes": 16, "code_dim": 8, "condition": 8}
    plain = VQVAE(TokenizerConfig(**sizes)).eval()
    wide = VQVAE(
        TokenizerConfig(**sizes, context=16, context_blocks=2, decoder_channels=(6, 10), decoder_blocks=(2, 1))
    )
    wide.eval()
    for model in (plain, wide):
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    slices, position = torch.randn(1, 1, 96, 96), torch.zeros(1)
    touched = slices.clone()
    touched[0, 0, 48, 48] += 5

    def reach(model):
        latents = [model.encoder(s, model.position(position)) for s in (slices, touched)]
        rows = ((latents[0] - latents[1]).abs().sum((0, 1)) > 0).any(1).nonzero()
        return int(rows.max() - rows.min())

    with torch.no_grad():
        assert reach(wide) > reach(plain)
        assert wide(slices, position)[0].shape == slices.shape


def test_levels_that_do_not_match_are_refused():
    with pytest.raises(ValidationError, match="one number a level"):
        TokenizerConfig(channels=(8, 8), blocks=(1,))


def test_non_local_blocks_see_the_whole_slice():
    """One corner changes the codes' latents in the other, which convolutions of this depth do not reach."""
    changed = {}
    for non_local in (False, True):
        torch.manual_seed(0)
        model = VQVAE(SMALL.model_copy(update={"non_local": non_local})).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        slices = torch.randn(1, 1, 160, 160)
        other = slices.clone()
        other[..., :8, :8] += 2
        place = model.position(torch.zeros(1))
        changed[non_local] = not torch.equal(
            model.encoder(slices, place)[..., -1, -1], model.encoder(other, place)[..., -1, -1]
        )
    assert changed == {False: False, True: True}
