"""The training loop: a killed run that is resumed ends where an unbroken one ends."""

import json

import pytest
import torch
from safetensors.torch import load_file

from napari_vqad.errors import InputError
from napari_vqad.train.loop import Schedule, fit

CPU = torch.device("cpu")


class Killed(Exception):
    pass


def run(folder, steps=40, kill_at=None, **schedule):
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    taken = []

    def losses(rng, _step):
        taken.append(1)
        if kill_at is not None and len(taken) > kill_at:
            raise Killed
        x = torch.randn(16, 3, generator=rng)
        return {"loss": ((model(x) - x.sum(1, keepdim=True)) ** 2).mean()}

    def held_out():
        return float((model.weight - 1).abs().sum() + model.bias.abs().sum())

    history = fit(model, losses, held_out, folder, Schedule(steps=steps, lr=0.1, validate_every=10, **schedule), CPU)
    return model, history


def test_descends_and_keeps_the_best(tmp_path):
    model, history = run(tmp_path)
    assert history["held_out"][-1] < history["held_out"][0]
    best = load_file(tmp_path / "best.safetensors")
    assert torch.equal(best["weight"], model.weight)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert json.loads((tmp_path / "state.json").read_text())["step"] == 40


def test_resumes_after_a_kill(tmp_path, monkeypatch):
    whole, _ = run(tmp_path / "whole")
    # Checkpoints are a minute apart; here time flies, so that there is one at each step.
    clock = iter(range(0, 10**9, 100))
    monkeypatch.setattr("napari_vqad.train.loop.time.monotonic", lambda: next(clock))
    with pytest.raises(Killed):
        run(tmp_path / "broken", kill_at=23)
    again, history = run(tmp_path / "broken")
    assert torch.equal(again.weight, whole.weight)
    assert history["step"] == [10, 20, 30, 40]


def test_stops_early_without_improvement(tmp_path):
    _, history = run(tmp_path, steps=2000, patience=2)
    assert history["step"][-1] < 2000


def test_refuses_another_schedule(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match="another schedule"):
        run(tmp_path, steps=50)
