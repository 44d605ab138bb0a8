"""The networks of Meissen et al. 2022: they fit a slice, are saved and read again, and refuse another's weights."""

import pytest
import torch
from pydantic import ValidationError

from napari_vqad.detectors.autoencoder import AutoencoderConfig, AutoencoderDetector
from napari_vqad.detectors.one_network import FILE
from napari_vqad.detectors.vae import VAEConfig, VAEDetector
from napari_vqad.errors import InputError
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.autoencoder import AutoencoderSizes, loss
from napari_vqad.nets.autoencoder_layouts import make_autoencoder
from napari_vqad.nets.strided_autoencoder import StridedSizes

GRID, PLACE = GridSpec(shape=(16, 24), spacing=8.0), torch.zeros(2)


def config(cls=AutoencoderConfig, **sizes):
    network = StridedSizes(**{"channels": (8, 16), "latent": 6} | sizes)
    return cls(title="Small", description="For tests.", grid=GRID, network=network)


@pytest.mark.parametrize(("spatial", "shape"), [(False, (6,)), (True, (6, 4, 6))])
@pytest.mark.parametrize("variational", [False, True])
def test_it_fits_one_slice(spatial, shape, variational):
    torch.manual_seed(0)
    network = make_autoencoder(config(spatial=spatial, kl=0.01).network, (16, 24), variational)
    assert network.latent_shape == shape
    slices = torch.nn.functional.interpolate(torch.randn(2, 1, 2, 3), (16, 24), mode="bilinear")
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(150):
        latent = network.encode(slices, PLACE)
        decoded = network.decode(latent.sample(torch.randn(latent.mean.shape)), PLACE)
        optimiser.zero_grad()
        loss(network, slices, decoded, latent).mean().backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        rest = (network.decode(network.encode(slices, PLACE).mean, PLACE) - slices).abs().mean()
        alone = network.decode(network.encode(slices[:1], PLACE[:1]).mean, PLACE[:1])
        both = network.decode(network.encode(slices, PLACE).mean, PLACE)
    assert rest < 0.4 * slices.abs().mean()
    torch.testing.assert_close(alone[0], both[0], rtol=1e-4, atol=1e-5)  # a slice does not depend on those beside it


@pytest.mark.parametrize(("cls", "detector"), [(AutoencoderConfig, AutoencoderDetector), (VAEConfig, VAEDetector)])
def test_what_is_saved_is_read_again_and_not_by_another(cls, detector, tmp_path):
    torch.manual_seed(0)
    made = config(cls, spatial=True)
    network = detector.make(made)
    network.encode(torch.randn(4, 1, 16, 24), torch.zeros(4))  # batch norm has statistics of its own
    network = network.half().float().eval()
    detector(network).save(tmp_path)
    again = detector.load(cls.model_validate_json(made.model_dump_json()), Snapshot(tmp_path, "bundle"))
    assert type(again.network) is type(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor), name
    with pytest.raises(InputError, match=rf"{FILE}"):
        detector.load(config(cls, spatial=True, latent=5), Snapshot(tmp_path, "bundle"))
    with pytest.raises(InputError, match="lacks"):
        detector.load(cls(title="Other", description="", grid=GRID), Snapshot(tmp_path, "bundle"))


def test_configs_from_before_layouts_are_of_the_residual_one():
    given = {"title": "Old", "description": "", "grid": {"shape": [16, 24]}, "network": {"latent": 7}}
    assert AutoencoderConfig.model_validate(given).network == AutoencoderSizes(latent=7)
    with pytest.raises(ValidationError, match="kind"):
        AutoencoderConfig.model_validate(given | {"network": {"kind": "other"}})
    with pytest.raises(ValidationError, match="no whole number"):
        config(channels=(4, 4, 4, 4))
