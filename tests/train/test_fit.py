"""The training loop: a killed run that is resumed ends where an unbroken one ends."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_vqad.errors import InputError
from napari_vqad.train.fit import CHECKPOINT, LIKE_HELD_OUT, LOCK, Schedule, fit, state_of

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
    best = load_file(tmp_path / CHECKPOINT)
    assert torch.equal(best["kept.weight"], model.weight)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    assert state_of(tmp_path)["step"] == 40


def test_resumes_after_a_kill(tmp_path, monkeypatch):
    whole, _ = run(tmp_path / "whole")
    # Checkpoints are a minute apart; here time flies, so that there is one at each step.
    clock = iter(range(0, 10**9, 100))
    monkeypatch.setattr("napari_vqad.train.fit.time.monotonic", lambda: next(clock))
    with pytest.raises(Killed):
        run(tmp_path / "broken", kill_at=23)
    again, history = run(tmp_path / "broken")
    assert torch.equal(again.weight, whole.weight)
    assert history["step"] == [10, 20, 30, 40]


def test_stops_early_without_improvement(tmp_path):
    _, history = run(tmp_path, steps=2000, patience=2)
    assert history["step"][-1] < 2000


def test_stops_when_the_held_out_loss_was_above_the_training_loss_too_often(tmp_path):
    """Ishii 2023: more than 5 times, in a row or not. It compares what is like the held-out loss."""

    def looks(folder, above):
        """Looks until it stops; at each, the held-out loss is above the training loss or not, as `above` says."""
        model, turns = torch.nn.Linear(1, 1), iter(above)
        losses = {"loss": torch.tensor(9.0), LIKE_HELD_OUT: torch.tensor(1.0)}
        schedule = Schedule(steps=len(above), validate_every=1, stop="overtaken", patience=5)
        history = fit(
            model,
            lambda _rng, _step: {**losses, "loss": losses["loss"] + 0 * model.weight.sum()},
            lambda: 2.0 if next(turns) else 0.5,
            folder,
            schedule,
            CPU,
        )
        return len(history["step"])

    assert looks(tmp_path / "a", [1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1]) == 9
    assert looks(tmp_path / "b", [0, 1] * 5 + [0] * 5) == 15


def test_refuses_another_schedule(tmp_path):
    run(tmp_path)
    with pytest.raises(InputError, match="another schedule"):
        run(tmp_path, steps=50)


def test_a_checkpoint_of_before_keep_existed_goes_on(tmp_path):
    run(tmp_path)
    state = state_of(tmp_path)
    del state["schedule"]["keep"]
    save_file(load_file(tmp_path / CHECKPOINT), tmp_path / CHECKPOINT, {"state": json.dumps(state)})
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


def killed_between(folder, monkeypatch, moves):
    """Run a training that dies at one of its moves of a file into place; return how many it made before."""
    replace, made = os.replace, []

    def dying(source, target):
        if len(made) == moves:
            raise Killed
        made.append(target)
        replace(source, target)

    clock = iter(range(0, 10**9, 100))  # a checkpoint at each step
    with monkeypatch.context() as patch:
        patch.setattr("napari_vqad.train.fit.time.monotonic", lambda: next(clock))
        patch.setattr("os.replace", dying)
        try:
            run(folder)
        except Killed:
            return moves
    return len(made)


@pytest.mark.parametrize("moves", [1, 10, 11, 12, 13, 23, 43])
def test_wherever_it_is_killed_it_goes_on_with_weights_of_one_step(moves, tmp_path, monkeypatch):
    unbroken, _ = run(tmp_path / "whole")
    assert killed_between(tmp_path / "broken", monkeypatch, moves) == moves
    model, history = run(tmp_path / "broken")
    assert torch.equal(model.weight, unbroken.weight)
    assert torch.equal(model.bias, unbroken.bias)
    assert history["step"] == [10, 20, 30, 40]
    assert sorted(os.listdir(tmp_path / "broken")) == [CHECKPOINT, "curves.png"]


def test_a_checkpoint_is_one_file_of_weights_moments_and_state(tmp_path):
    run(tmp_path)
    names = {name.partition(".")[0] for name in load_file(tmp_path / CHECKPOINT)}
    assert names == {"model", "adam", "kept"}


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_full_disk_leaves_the_last_checkpoint_as_it_was(tmp_path, monkeypatch):
    clock = iter(range(0, 10**9, 100))
    monkeypatch.setattr("napari_vqad.train.fit.time.monotonic", lambda: next(clock))
    with pytest.raises(Killed):
        run(tmp_path, kill_at=23)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("napari_vqad.train.fit.alone_in", lambda *_: nullcontext())
        patch.setattr("pathlib.Path.write_bytes", full)
        with pytest.raises(InputError, match=r"checkpoint\.safetensors cannot be written: no space left"):
            run(tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_disk_that_is_full_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_vqad.files.space.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    monkeypatch.setattr("napari_vqad.train.fit._fit", lambda *_: pytest.fail("it began"))
    with pytest.raises(InputError, match="has room for"):
        run(tmp_path / "out")
    assert os.listdir(tmp_path) == []


DAMAGE = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-20]),
    "empty": lambda path: path.write_bytes(b""),
    "no state": lambda path: save_file(load_file(path), path),
    "state is no JSON": lambda path: save_file(load_file(path), path, {"state": "{"}),
    "state of other types": lambda path: save_file(load_file(path), path, {"state": '{"step": "many"}'}),
    "deep state": lambda path: save_file(load_file(path), path, {"state": "[" * 100_000}),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_one_sentence(kind, tmp_path):
    run(tmp_path)
    DAMAGE[kind](tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors"):
        run(tmp_path)


@pytest.mark.parametrize(
    "part", ["model.weight", "kept.weight", "kept.more", "adam.0.exp_avg", "adam.x.step", "adam.7.step"]
)
def test_a_checkpoint_of_another_network_is_one_sentence(part, tmp_path):
    run(tmp_path)
    tensors, state = load_file(tmp_path / CHECKPOINT), json.dumps(state_of(tmp_path))
    save_file(tensors | {part: torch.zeros(7)}, tmp_path / CHECKPOINT, {"state": state})
    with pytest.raises(InputError, match="another network"):
        run(tmp_path)


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    code = f"""
import sys, time
from pathlib import Path
from napari_vqad.files.lock import take
held = take(Path(sys.argv[1]) / {LOCK!r})
print("ready", flush=True)
time.sleep(60)
"""
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "ready\n"
    try:
        with pytest.raises(InputError, match="Another training"):
            run(tmp_path)
        assert os.listdir(tmp_path) == [LOCK]
    finally:
        other.kill()
        other.wait()
    run(tmp_path)


@pytest.mark.parametrize("kind", ["a file", "below a file"])
def test_a_folder_that_is_a_file_is_one_sentence(kind, tmp_path):
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="file"):
        run(tmp_path / "file" / ("x" if kind == "below a file" else ""))
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
