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
    best = load_file(tmp_path / "kept.safetensors")
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


def test_a_checkpoint_of_before_keep_existed_goes_on(tmp_path):
    run(tmp_path)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["schedule"]["keep"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    _, history = run(tmp_path)
    assert history["step"] == [10, 20, 30, 40]


@pytest.mark.parametrize(("keep", "at"), [("best", 1.0), ("last", 4.0)])
def test_keeps_the_best_or_the_last(tmp_path, keep, at):
    """The held-out loss rises from look to look."""
    model, looks = torch.nn.Linear(1, 1, bias=False), []

    def held_out():
        looks.append(1)
        model.weight.data.fill_(len(looks))  # what the weights are at this look
        return float(len(looks))

    def losses(_rng, _step):
        return {"loss": 0.0 * model.weight.sum()}

    fit(model, losses, held_out, tmp_path, Schedule(steps=40, validate_every=10, keep=keep), CPU)
    assert model.weight.item() == at


class Two(torch.nn.Module):
    """Two networks that learn at different rates."""

    def __init__(self):
        super().__init__()
        self.slow, self.quick = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        for part in (self.slow, self.quick):
            torch.nn.init.zeros_(part.weight)

    @property
    def parts(self):
        return (self.slow, 1.0), (self.quick, 4.0)


def test_parts_learn_each_at_its_own_rate(tmp_path):
    model = Two()

    def losses(_rng, _step):
        return {"loss": -model.slow.weight.sum() - model.quick.weight.sum()}

    fit(model, losses, lambda: 0.0, tmp_path, Schedule(steps=20, lr=0.01, validate_every=20, decay=False), CPU)
    assert model.quick.weight.item() == pytest.approx(4 * model.slow.weight.item(), rel=1e-3)
    assert model.slow.weight.item() > 0
