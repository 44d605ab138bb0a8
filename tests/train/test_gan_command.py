"""A tokenizer judged by a discriminator, through the real commands."""

from commands import run
from small_recipe import RECIPE


def test_a_gan_begins_with_a_trained_tokenizer(data, trained, tmp_path, capsys):
    recipe, out = tmp_path / "gan.toml", tmp_path / "gan"
    judged = "[tokenizer_training.adversarial]\nwidth = 8\nbegin = 10\n[prior]\n"
    recipe.write_text(RECIPE.replace("[prior]\n", judged))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", out)
    assert run(*words) == 2
    assert "perceptual distance" in capsys.readouterr().err
    assert run(*words, "--start", trained) == 0
    printed = capsys.readouterr().out
    assert "discriminator" in printed
    assert "perceptual" in printed
    assert (out / "tokenizer.safetensors").read_bytes() != (trained / "tokenizer.safetensors").read_bytes()
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 0
    assert run("calibrate", out, "--data", data) == 0
    card = (out / "README.md").read_text()
    assert "| tokenizer | VQ-GAN," in card
    assert "features of a VQ-VAE's encoder" in card
    assert "--start base" in card
    assert run(*words, "--start", out) == 2
    assert "begin with itself" in capsys.readouterr().err


def test_a_gan_of_its_own_is_judged_by_the_features_of_another(data, trained, tmp_path, capsys):
    recipe, out = tmp_path / "gan.toml", tmp_path / "gan"
    judged = 'codebook = "gradient"\n[tokenizer_training.adversarial]\nwidth = 8\nloss = "log"\n[prior]\n'
    recipe.write_text(RECIPE.replace("[prior]\n", judged))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", out)
    assert run(*words, "--features", trained) == 0
    capsys.readouterr()
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 0
    assert run("calibrate", out, "--data", data) == 0
    card = (out / "README.md").read_text()
    assert "the codebook by gradient" in card
    assert "log loss" in card
    assert f"--features {trained.name}" in card
    plain = tmp_path / "plain.toml"
    plain.write_text(RECIPE)
    words = ("train", "tokenizer", "--config", plain, "--data", data, "--out", tmp_path / "other")
    assert run(*words, "--lpips", tmp_path / "lpips.safetensors") == 2
    assert "--lpips is for a VQ-GAN" in capsys.readouterr().err
    recipe.write_text(recipe.read_text().replace("spacing = 8.0", "spacing = 7.0"))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", tmp_path / "third")
    assert run(*words, "--features", trained) == 2
    assert "another grid" in capsys.readouterr().err
