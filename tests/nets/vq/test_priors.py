"""Every prior: shapes, who sees whom, fitting a batch, saving and loading, refusing what is not its own."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import load_file, save_file

from napari_vqad.detectors.vq.likelihood import log_probabilities, nll
from napari_vqad.errors import InputError
from napari_vqad.nets.vq.causal import CausalConv2d
from napari_vqad.nets.vq.gpt2 import GPT2, GPT2Config
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.masked_transformer import MaskedConfig, MaskedTransformer
from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.vq.pixelsnail_paper import PaperSNAIL, PaperSnailConfig
from napari_vqad.nets.vq.protocols import MaskedPrior, ResumingPrior
from napari_vqad.nets.vq.registry import PriorConfig, make_prior
from napari_vqad.nets.vq.two_level import TwoLevelConfig, TwoLevelPrior
from napari_vqad.nets.weights import load_weights, save_weights
from napari_vqad.train.prior import loss

K = 7
PAPER = PaperSnailConfig(channels=16, blocks=2, res_blocks=1, key_channels=8, dropout=0.0, condition=8)
SMALL = {
    "pixelsnail": PixelSnailConfig(channels=16, blocks=1, res_blocks=1, heads=2, dropout=0.0, condition=8),
    "pixelsnail, kernel 5": PixelSnailConfig(channels=16, blocks=2, res_blocks=2, heads=2, dropout=0.0, kernel=5),
    "pixelsnail-paper": PaperSnailConfig(channels=16, blocks=2, res_blocks=1, key_channels=8, dropout=0.0, condition=8),
    "pixelsnail-paper, half": PaperSnailConfig(
        channels=16,
        blocks=2,
        res_blocks=1,
        key_channels=8,
        dropout=0.0,
        condition=8,
        weight_norm=True,
        attention="half",
    ),
    "gpt2": GPT2Config(width=16, layers=2, heads=2, dropout=0.0, condition=8, places=64),
    "masked": MaskedConfig(width=16, layers=2, heads=2, dropout=0.0, condition=8, max_side=8),
}
CAUSAL = ("pixelsnail", "pixelsnail, kernel 5", "pixelsnail-paper", "pixelsnail-paper, half", "gpt2")


def make(kind, opinions=True):
    torch.manual_seed(0)
    model = make_prior(SMALL[kind], K).eval()
    if opinions:  # residual branches start near zero and would hide a leak
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def logits(model, codes, position, hidden=None):
    if isinstance(model, MaskedPrior):
        hidden = torch.zeros(codes.shape, dtype=torch.bool) if hidden is None else hidden
        return model.logits_beside(codes, hidden, position)
    return model.logits(codes, position)


@pytest.mark.parametrize("kind", SMALL)
def test_shapes_and_position(kind):
    model, codes = make(kind), torch.randint(K, (3, 4, 6))
    low, high = (logits(model, codes, torch.full((3,), p)) for p in (-0.5, 0.5))
    assert low.shape == (3, K, 4, 6)
    assert not torch.allclose(low, high)


@pytest.mark.parametrize("kind", CAUSAL)
def test_a_causal_prior_sees_everything_before_and_nothing_else(kind):
    model, (h, w) = make(kind), (4, 5)
    codes = torch.randint(K, (1, h, w))
    embedded = []
    model.embed.register_forward_hook(lambda _m, _i, out: embedded.append(out.requires_grad_()) or out)
    model.embed.weight.requires_grad_(False)
    said = model.logits(codes, torch.zeros(1))
    for i in range(h * w):
        (gradient,) = torch.autograd.grad(said[0, :, i // w, i % w].sum(), embedded[0], retain_graph=True)
        reach = gradient[0].abs().sum(-1).flatten()
        assert (reach[i:] == 0).all(), f"place {i} sees itself or what comes after"
        assert (reach[:i] > 0).all(), f"place {i} does not see everything before it"


def test_a_masked_prior_sees_both_sides_but_nothing_hidden():
    model, codes, position = make("masked"), torch.randint(K, (1, 4, 5)), torch.zeros(1)
    hidden = torch.zeros(1, 4, 5, dtype=torch.bool)
    hidden[0, 1, 2] = True
    before = logits(model, codes, position, hidden)[0, :, 1, 2]
    for i in range(4):
        for j in range(5):
            other = codes.clone()
            other[0, i, j] = (other[0, i, j] + 1) % K
            after = logits(model, other, position, hidden)[0, :, 1, 2]
            assert torch.equal(before, after) == ((i, j) == (1, 2))


@pytest.mark.parametrize("kind", SMALL)
def test_fits_one_batch(kind):
    model = make(kind, opinions=False).train()
    codes, position = torch.randint(K, (4, 5, 5)), torch.linspace(-0.5, 0.5, 4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    found = []
    for step in range(250):
        value = loss(model, codes, position, torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        found.append(float(value.detach()))
    assert found[0] > 1.5
    assert sum(found[-20:]) / 20 < 0.4


@pytest.mark.parametrize("kind", SMALL)
def test_saved_and_loaded_it_says_the_same(kind, tmp_path):
    model = make(kind).half().float().requires_grad_(False)  # with gradients torch normalises weights by another kernel
    save_weights(model, tmp_path / "prior.safetensors")
    again = load_weights(make_prior(SMALL[kind], K), tmp_path / "prior.safetensors")
    codes = torch.randint(K, (2, 4, 4))
    assert torch.equal(logits(model, codes, torch.zeros(2)), logits(again, codes, torch.zeros(2)))


@pytest.mark.parametrize("kind", SMALL)
def test_refuses_the_weights_of_another(kind, tmp_path):
    for other in SMALL:
        if other != kind:
            save_weights(make(other), tmp_path / "prior.safetensors")
            with pytest.raises(InputError, match=r"lacks|shape|does not know"):
                load_weights(make_prior(SMALL[kind], K), tmp_path / "prior.safetensors")


@pytest.mark.parametrize("kind", SMALL)
def test_refuses_a_file_with_something_more(kind, tmp_path):
    save_weights(make(kind), tmp_path / "prior.safetensors")
    tensors = load_file(tmp_path / "prior.safetensors")
    save_file(tensors | {"more": torch.zeros(1)}, tmp_path / "prior.safetensors")
    with pytest.raises(InputError, match="'more'"):
        load_weights(make_prior(SMALL[kind], K), tmp_path / "prior.safetensors")


def test_the_config_says_which():
    read = TypeAdapter(PriorConfig).validate_python
    assert isinstance(read({"channels": 32}), PixelSnailConfig)  # as bundles had it before there was a choice
    for kind, network in (("pixelsnail", PixelSNAIL), ("gpt2", GPT2), ("masked", MaskedTransformer)):
        assert type(make_prior(read({"kind": kind}), K)) is network
        assert read(SMALL[kind].model_dump()) == SMALL[kind]
    for wrong in ({"kind": "other"}, {"kind": "gpt2", "channels": 3}, {"kind": "gpt2", "width": 10, "heads": 3}):
        with pytest.raises(ValidationError):
            read(wrong)


def test_protocols():
    assert all(isinstance(make(kind), ResumingPrior) for kind in CAUSAL)
    assert isinstance(make("masked"), MaskedPrior)
    assert not isinstance(make("masked"), ResumingPrior)
    assert not isinstance(make("gpt2"), MaskedPrior)


def test_the_two_pixelsnails_are_told_apart(tmp_path):
    """By the kind in config.json; neither takes the weights of the other."""
    paper = make("pixelsnail-paper")
    assert isinstance(paper, PaperSNAIL)
    assert isinstance(make_prior(TypeAdapter(PriorConfig).validate_python({"kind": "pixelsnail"}), K), PixelSNAIL)
    save_weights(paper, tmp_path / "prior.safetensors")
    with pytest.raises(InputError):
        load_weights(make("pixelsnail"), tmp_path / "prior.safetensors")


def test_attention_excludes_its_own_place_and_is_zero_at_the_first():
    attention = make("pixelsnail-paper").blocks[0].attention
    e, x, where = torch.randn(1, 16, 2, 3), torch.randn(1, 16, 2, 3), torch.randn(1, 2, 2, 3)
    before = attention(e, x, where)
    assert not before[0, :, 0, 0].any()
    e[0, :, 1, 1] += 5.0  # the fifth of six places
    after = attention(e, x, where)
    moved = (before != after).any(1)[0].flatten()
    assert moved.tolist() == [False] * 5 + [True]


def test_places_of_half_resolution_take_over_what_their_coarse_place_saw():
    attention = make("pixelsnail-paper, half").blocks[0].attention
    e, x, where = torch.randn(1, 16, 3, 5), torch.randn(1, 16, 3, 5), torch.randn(1, 2, 3, 5)
    found = attention(e, x, where)
    assert found.shape == (1, 8, 3, 5)
    assert not found[0, :, :2, :2].any()  # the first coarse place has nothing before it
    assert found[0, :, :2, 2:4].flatten(1).var(1, correction=0).max() < 1e-9
    assert not torch.allclose(found[0, :, 0, 2], found[0, :, 0, 4])


def test_weight_normalisation_changes_the_parameters_and_not_the_first_prediction():
    plain, half = SMALL["pixelsnail-paper"], SMALL["pixelsnail-paper, half"]
    codes = torch.randint(K, (1, 4, 5))
    found = []
    for config in (plain, plain.model_copy(update={"weight_norm": True})):
        torch.manual_seed(0)
        found.append(make_prior(config, K).eval())
    assert torch.allclose(*(model.logits(codes, torch.zeros(1)) for model in found), atol=1e-5)
    for config in (plain.model_copy(update={"weight_norm": True}), half):
        model = make_prior(config, K)
        for name, module in model.named_modules():
            if isinstance(module, (torch.nn.Conv2d, CausalConv2d)):
                (norm,) = (p for key, p in module.named_parameters() if key.endswith("original0"))
                with torch.no_grad():
                    norm.fill_(2.0)  # g: now each filter has this norm, whatever its direction
                assert torch.allclose(module.weight.flatten(1).norm(dim=1), torch.tensor(2.0)), name


def test_paper_sizes_build():
    with torch.device("meta"):
        snail = PixelSNAIL(PixelSnailConfig(channels=128, blocks=4, res_blocks=4), 128)
        medium = GPT2(GPT2Config(width=1024, layers=24, heads=16), 128)
        codes, place = torch.zeros(1, 20, 20, dtype=torch.long), torch.zeros(1)
        for model in (snail, medium):
            assert model.logits(codes, place).shape == (1, 128, 20, 20)
    assert sum(p.numel() for p in medium.parameters()) > 300e6


TWO = TwoLevelConfig(
    shape=(2, 3), top=SMALL["pixelsnail"], bottom=PixelSnailConfig(channels=12, blocks=1, res_blocks=1, heads=2)
)
LEVELS = CodeLevels((2, 3), (4, 6))


@pytest.fixture
def two():
    torch.manual_seed(0)
    model = TwoLevelPrior(TWO, K).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def some_codes(n=1):
    return LEVELS.join([torch.randint(K, (n, *shape)) for shape in LEVELS.shapes])


def test_two_levels_are_one_causal_sequence(two):
    """Every code sees all before it in raster order, the whole top level first, and nothing that is no code."""
    codes, real = some_codes(), LEVELS.is_code
    before = two.logits(codes, torch.zeros(1))
    places = real.nonzero().tolist()
    for n, (i, j) in enumerate(places):
        other = codes.clone()
        other[0, i, j] = (other[0, i, j] + 1) % K
        changed = (two.logits(other, torch.zeros(1)) != before)[0].any(0)[real]
        assert not changed[: n + 1].any(), f"code {n} is seen by itself or by one before it"
        if i < 2:  # a code of the top level reaches what lies below it
            below = torch.zeros(LEVELS.shape, dtype=torch.bool)
            below[2 + 2 * i : 4 + 2 * i, 2 * j : 2 * j + 2] = True
            assert changed[below[real]].all()
    other = codes.clone()
    other[:, ~real] = 3
    assert torch.equal(two.logits(other, torch.zeros(1)), before)


def test_where_there_is_no_code_nothing_is_unlikely(two):
    codes = some_codes(3)
    found = nll(log_probabilities(two, codes, torch.zeros(3)), codes)
    assert (found[:, ~LEVELS.is_code] == 0).all()
    assert (found[:, LEVELS.is_code] > 0).all()


def test_two_levels_fit_one_batch_and_come_back(tmp_path):
    torch.manual_seed(0)
    model, codes = TwoLevelPrior(TWO, K).train(), some_codes(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(200):
        value = loss(model, codes, torch.zeros(4), torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    assert float(value.detach()) < 0.3
    model = model.eval().half().float()
    save_weights(model, tmp_path / "prior.safetensors")
    again = load_weights(make_prior(TWO, K), tmp_path / "prior.safetensors")
    assert torch.equal(again.logits(codes, torch.zeros(4)), model.logits(codes, torch.zeros(4)))
    with pytest.raises(InputError, match="lacks"):
        load_weights(make_prior(SMALL["pixelsnail"], K), tmp_path / "prior.safetensors")
