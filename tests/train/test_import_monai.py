"""A tiny pair of MONAI's networks, trained for a few steps, packed and loaded: the likelihoods of MONAI's inferer."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.gumbel import gumbel_batch
from napari_vqad.detectors.vq.likelihood import log_probabilities, nll
from napari_vqad.detectors.vq.restoration import first_pass, restore
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.monai import MonaiPriorConfig, MonaiTokenizerConfig
from napari_vqad.train.data import Stack

pytest.importorskip("monai", reason="MONAI is an extra: pip install 'napari-vqad[monai]'")

SPEC = GridSpec(shape=(16, 24), spacing=8.0)
CODER = MonaiTokenizerConfig(
    channels=(8, 8),
    num_res_layers=1,
    num_res_channels=(8, 8),
    downsample_parameters=((2, 4, 1, 1),) * 2,
    upsample_parameters=((2, 4, 1, 1, 0),) * 2,
    num_embeddings=12,
    embedding_dim=4,
)
CHAIN = MonaiPriorConfig(max_seq_len=24, attn_layers_dim=16, attn_layers_depth=2, attn_layers_heads=2)


@pytest.fixture(scope="module", params=["raster_scan", "s_curve"])
def trained(request, healthy):
    """VQVAE, transformer and ordering, trained as MONAI's tutorial does: reconstruct, then predict the next token."""
    from monai.inferers import VQVAETransformerInferer
    from monai.networks.nets import VQVAE, DecoderOnlyTransformer
    from monai.utils.ordering import Ordering

    torch.manual_seed(0)
    vqvae = VQVAE(2, 1, 1, **CODER.model_dump(exclude={"kind"}))
    transformer = DecoderOnlyTransformer(num_tokens=13, **CHAIN.model_dump(exclude={"kind"}))
    ordering = Ordering(request.param, spatial_dims=2, dimensions=(1, 4, 6), reflected_spatial_dims=(True, False))
    x = torch.from_numpy(healthy(0).slices)[:, None]
    optimiser = torch.optim.Adam(vqvae.parameters(), lr=3e-3)
    for _ in range(15):
        again, commitment = vqvae(x)
        optimiser.zero_grad()
        (F.l1_loss(again, x) + commitment).backward()
        optimiser.step()
    vqvae.eval()
    inferer, optimiser = VQVAETransformerInferer(), torch.optim.Adam(transformer.parameters(), lr=3e-3)
    for _ in range(15):
        said, target, _ = inferer(x, vqvae, transformer, ordering, return_latent=True)
        optimiser.zero_grad()
        F.cross_entropy(said.mT, target).backward()
        optimiser.step()
    # Bundles keep half precision: what is compared must be the same numbers.
    return vqvae.half().float().eval(), transformer.half().float().eval(), ordering


@pytest.fixture(scope="module")
def bundle(trained, tmp_path_factory, healthy):
    from napari_vqad.train.import_monai import pack

    root = tmp_path_factory.mktemp("monai")
    for first, split in enumerate(("train", "validation", "calibration")):
        Stack.of([healthy(10 * first + i) for i in range(2)], SPEC).save(root / f"{split}.npz")
    folder = pack(root / "mine", *trained, title="Mine", grid=SPEC, tokenizer=CODER, prior=CHAIN)
    assert main(["calibrate", str(folder), "--data", str(root), "--device", "cpu", "--threads", "1"]) == 0
    return Bundle.load(folder, "cpu")


def test_the_likelihoods_are_those_of_monai(trained, bundle, healthy):
    from monai.inferers import VQVAETransformerInferer

    vqvae, transformer, ordering = trained
    grid = healthy(99)
    theirs = VQVAETransformerInferer().get_likelihood(
        torch.from_numpy(grid.slices)[:, None], vqvae, transformer, ordering
    )
    explorer = Explorer(bundle)
    codes = explorer.detector.encode(grid.slices, grid.position)
    ours = explorer.detector.nll(codes, grid.position)
    assert ours.shape == (12, 4, 6)
    assert ours.std() > 0.05  # it did learn something
    np.testing.assert_allclose(ours, -theirs.numpy(), atol=1e-4)


def test_pictures_are_those_of_monai(trained, bundle, healthy):
    x = torch.from_numpy(healthy(98).slices)[:, None]
    with torch.no_grad():
        theirs, _ = trained[0](x)
        ours = bundle.detector.tokenizer.decode(bundle.detector.tokenizer.encode(x, torch.zeros(12)), torch.zeros(12))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_it_is_explored_like_any_other(bundle, healthy):
    explorer = Explorer(bundle, Settings(n_restorations=2, lambda_p="p50"))
    explorer.load_grid(healthy(97))
    for _ in explorer.work():
        pass
    assert explorer.map("pixel_score").max() > 0
    restored = explorer.results("restoration", "codes")
    assert (restored != explorer.results("nll", "codes")).any()
    assert restored.max() < bundle.detector.tokenizer.n_codes  # the start token is never drawn
    card = (bundle.folder / "README.md").read_text()
    assert "VQVAE of MONAI" in card
    assert "transformer of MONAI" in card


def test_restorations_are_fixed_points_in_any_order(bundle, healthy):
    """y_i = x_i where it is likely, else argmax(ln p(c | what comes before in the transformer's order) + g)."""
    grid = healthy(96)
    x = bundle.detector.tokenizer.encode(torch.from_numpy(grid.slices)[:2, None], torch.zeros(2))
    noise = torch.from_numpy(gumbel_batch(0, [4, 5], range(3), 12, (4, 6)))
    log_p = log_probabilities(bundle.detector.prior, x, torch.zeros(2))
    lambda_p = float(nll(log_p, x).median())
    unlikely = nll(log_p, x) > lambda_p
    restored, _ = restore(first_pass(bundle.detector.prior, x, torch.zeros(2), noise), lambda_p, "anchored")
    for j in range(3):
        again = (log_probabilities(bundle.detector.prior, restored[:, j], torch.zeros(2)) + noise[:, j]).argmax(1)
        assert torch.equal(restored[:, j], torch.where(unlikely, again, x))
    assert (restored != x[:, None]).any()


def test_what_does_not_fit_is_one_sentence(trained, tmp_path):
    from napari_vqad.train.import_monai import pack

    vqvae, transformer, ordering = trained
    how = {"title": "x", "grid": SPEC, "tokenizer": CODER, "prior": CHAIN}
    with pytest.raises(InputError, match="96 codes, the ordering 24"):
        pack(tmp_path, vqvae, transformer, ordering, **how | {"grid": GridSpec(shape=(32, 48))})
    other = CODER.model_copy(update={"embedding_dim": 8})
    with pytest.raises(InputError, match="VQVAE was not made with these arguments"):
        pack(tmp_path, vqvae, transformer, ordering, **how | {"tokenizer": other})
    assert not list(tmp_path.iterdir())
