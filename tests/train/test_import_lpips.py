"""The published weights of VGG16 and LPIPS become one file; what they compute stays the same."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from napari_vqad.cli import main
from napari_vqad.train.perceptual import LPIPS, VGG16Features

LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
TAPS = (3, 8, 15, 22, 29)  # the last activation of each stage in torchvision's list of layers


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """torchvision's list of layers, lpips's weighings, and both in files of their authors' form."""
    torch.manual_seed(0)
    layers, width = [], 3
    for entry in LAYERS:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(width, entry, 3, padding=1), nn.ReLU()]
            width = entry
    features = nn.Sequential(*layers)
    weighings = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 512, 512))}
    folder = tmp_path_factory.mktemp("published")
    classifier = {"classifier.0.weight": torch.zeros(2, 2)}
    save_file({f"features.{k}": v for k, v in features.state_dict().items()} | classifier, folder / "vgg16.safetensors")
    save_file(weighings, folder / "vgg.safetensors")
    return features, weighings, folder


def convert(folder, vgg, lpips, out):
    return main(["train", "import-lpips", "--vgg", str(folder / vgg), "--lpips", str(folder / lpips), "-o", str(out)])


def test_the_distance_is_that_of_the_published_networks(published, tmp_path):
    features, weighings, folder = published
    assert convert(folder, "vgg16.safetensors", "vgg.safetensors", tmp_path / "lpips.safetensors") == 0
    looks = LPIPS(tmp_path / "lpips.safetensors", (-1.0, 1.0), torch.device("cpu"))
    one, other = torch.rand(2, 2, 1, 32, 32) * 2 - 1

    def at_taps(slices):
        """As lpips has it: pictures in [−1, 1], shifted and scaled, features of unit length."""
        shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
        x, found = (slices.expand(-1, 3, -1, -1) - shift.view(1, 3, 1, 1)) / scale.view(1, 3, 1, 1), []
        for i, layer in enumerate(features):
            x = layer(x)
            if i in TAPS:
                found.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return found

    with torch.no_grad():
        pairs = zip(at_taps(one), at_taps(other), weighings.values(), strict=True)
        theirs = sum(float(((a - b).square() * w).sum(1).mean()) for a, b, w in pairs)
        assert float(looks(one, other, torch.zeros(2))) == pytest.approx(theirs, rel=1e-3)


def test_files_of_other_things_are_one_sentence(published, tmp_path, capsys):
    folder = published[2]
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg16.pth")
    narrow = {f"features.{i}.{kind}": torch.zeros(8) for i in range(40) for kind in ("weight", "bias")}
    save_file(narrow, tmp_path / "narrow.safetensors")
    for vgg, lpips, words in (
        ("gone.safetensors", "vgg.safetensors", "does not exist"),
        (tmp_path / "vgg16.pth", "vgg.safetensors", "is not a readable safetensors file"),
        (tmp_path / "narrow.safetensors", "vgg.safetensors", "has weights of shape (8,)"),
        ("vgg.safetensors", "vgg.safetensors", "has no 'features.0.weight'"),
        ("vgg16.safetensors", "vgg16.safetensors", "has no 'lin0.model.1.weight'"),
    ):
        assert convert(folder, vgg, lpips, tmp_path / "out.safetensors") == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()


def test_the_names_are_those_of_the_network():
    assert len(VGG16Features().conv) == 13
