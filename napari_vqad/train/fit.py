"""The training loop of all networks: reproducible, resumable after a crash, with progress and curves."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_write, make_folders, remove_empty
from napari_vqad.files.lock import locked
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets.device import device_of, has_bf16
from napari_vqad.train.same_recipe import Options, difference

CHECKPOINT, CURVES, LOCK = "checkpoint.safetensors", "curves.png", ".vqad-training"
LIKE_HELD_OUT = "as held out"  # the part of the training loss that the held-out loss measures, if it is not all of it
STATE = "state"  # key of the state (JSON) in a checkpoint's metadata
ADAMS = ("adam", "adam-of-turn")  # prefixes of the optimisers' moments in a checkpoint
PARTS = ("model", *ADAMS, "kept")  # prefixes of all tensors in a checkpoint


class Schedule(BaseModel):
    """The schedule of a training. Marimont & Tarroni 2020 train with Adam at 1e-4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(2000, ge=1, le=10**8, description="optimiser steps")
    batch: int = Field(32, ge=1, le=10**6, description="slices per step")
    lr: float = Field(1e-4, gt=0, allow_inf_nan=False, description="Adam's learning rate after the warm-up")
    warm_up: int = Field(100, ge=1, description="steps over which the learning rate rises from zero; 1 for none")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's β1")
    beta2: float = Field(0.99, gt=0, lt=1, description="Adam's β2")
    weight_decay: float = Field(0.0, ge=0, allow_inf_nan=False, description="weight decay of AdamW; 0 for Adam")
    clip: float = Field(1.0, ge=0, allow_inf_nan=False, description="norm to which gradients are clipped; 0 for none")
    decay: bool = Field(True, description="let the learning rate fall to zero along a cosine")
    seed: int = Field(0, ge=0, lt=2**32)
    validate_every: int = Field(250, ge=1, description="steps between evaluations of the held-out loss")
    keep: Literal["best", "last"] = Field(
        "best", description="weights to keep: with the best held-out loss, or the last"
    )
    stop: Literal["patience", "overtaken"] = Field("patience", description="rule for stopping early")
    patience: int = Field(8, ge=1, description="evaluations at which the rule must hold before training stops")


Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Turn:
    """A network that is trained in alternation with the model, with its own Adam.

    Attributes:
        network: a module of the model, so that the checkpoint contains it, but not one of the model's `parts`.
        lr: its learning rate, with the schedule's warm-up and decay.
        loss: computes its loss, a scalar with its graph; called after the model's step.
        name: name of the loss curve.
    """

    network: nn.Module
    lr: float
    loss: Callable[[], Tensor]
    name: str


def fit(
    model: nn.Module,
    losses: Callable[[torch.Generator, int], Losses],
    held_out: Callable[[], float],
    folder: Path,
    schedule: Schedule,
    device: torch.device,
    turn: Turn | None = None,
    recipe: Options | None = None,
) -> dict[str, list]:
    """Train `model` in place, until it has its best or its last weights.

    Args:
        model: the model, on `device`. If it has `parts`, only these networks are trained: pairs of a network and its
            learning rate as a multiple of the schedule's; the gradients of each are clipped separately.
        losses: generator and step → losses by name; "loss" is minimised, the others are drawn as curves.
        held_out: computes the held-out loss; called with the model in eval mode.
        folder: folder of `checkpoint.safetensors` and `curves.png`. If it has a checkpoint with the same schedule and
            recipe, training continues from there. A checkpoint is one file, so all of it is from the same step.
        schedule: number of steps, learning rate and so on.
        device: device of the random generator and of mixed precision.
        turn: a network that is trained in alternation with the model.
        recipe: the options that decide the losses and the data, from `same_recipe.options_of`.

    Returns:
        history: name → values, one every `validate_every` steps; also stored in the checkpoint.

    Raises:
        InputError: the folder holds a damaged checkpoint, or one of another schedule, recipe or model; another training
            writes there; or it cannot be written to.
    """
    weights = sum(v.numel() * v.element_size() for v in model.state_dict().values())
    # Weights, two moments of Adam and the kept weights; twice, because the last checkpoint still exists when writing.
    with alone_in(folder, [CHECKPOINT, CURVES], 2 * 4 * weights):
        return _fit(model, losses, held_out, folder, schedule, device, turn, recipe or {})


@contextmanager
def alone_in(folder: Path, names: Iterable[str], size: int = 0) -> Iterator[None]:
    """Lock a folder, so that no other training or calibration uses it, and check that it can be written to.

    Args:
        folder: created if needed, and removed again if nothing was written into it.
        names, size: names and total size of the files, as in `files.space.check_folder`.

    Raises:
        InputError: it cannot be written to, or another training or calibration uses it.
    """
    check_folder(folder_of(folder), names, size)
    try:
        made = make_folders(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}.") from error
    busy = f"Another training or calibration is at work in {folder}; wait for it, or give another folder."
    try:
        with locked(folder / LOCK, busy, wait=0):
            yield
    finally:
        remove_empty(made)


def _fit(
    model: nn.Module,
    losses: Callable[[torch.Generator, int], Losses],
    held_out: Callable[[], float],
    folder: Path,
    schedule: Schedule,
    device: torch.device,
    turn: Turn | None,
    recipe: Options,
) -> dict[str, list]:
    parts = getattr(model, "parts", ((model, 1.0),))
    optimiser = _adam(parts, schedule)
    optimisers = [optimiser]
    if turn is not None:
        optimisers.append(_adam(((turn.network, turn.lr / schedule.lr),), schedule))
    state, kept = _resume(model, optimisers, folder, schedule, recipe)
    history, started, first = state["history"], time.monotonic(), state["step"]
    running: dict[str, Tensor] = {}  # sums; they stay on the GPU until they are shown
    saved = time.monotonic()

    step = first
    while step < schedule.steps and not state["stopped"]:
        # One generator per step: a resumed training sees the same slices as an uninterrupted one.
        rng = torch.Generator(device=device).manual_seed(schedule.seed * 1_000_003 + step)
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        for group in (group for each in optimisers for group in each.param_groups):
            group["lr"] = schedule.lr * _rate(step, schedule) * group["pace"]
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            values = losses(rng, step)
        _descend(values["loss"], optimiser, [part for part, _ in parts], schedule)
        if turn is not None:
            with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
                values[turn.name] = turn.loss()
            _descend(values[turn.name], optimisers[1], [turn.network], schedule)
        step += 1
        for name, value in values.items():
            running[name] = value.detach().double() + running.get(name, 0.0)

        if step % schedule.validate_every == 0 or step == schedule.steps:
            model.eval()
            with torch.no_grad():
                score = held_out()
            count = (step - 1) % schedule.validate_every + 1
            for name, total in running.items():
                history.setdefault(name, []).append(float(total) / count)
            history.setdefault("held_out", []).append(score)
            history.setdefault("step", []).append(step)
            running.clear()
            better = score <= min(history["held_out"])
            if better or schedule.keep == "last":
                kept = {k: v.detach().clone() for k, v in model.state_dict().items()}
            count_of_rule(state, schedule, better)
            _draw(history, folder / CURVES)
            left = (schedule.steps - step) * (time.monotonic() - started) / (step - first)
            numbers = "  ".join(f"{k} {v[-1]:.4f}" for k, v in history.items() if k != "step")
            print(f"step {step}/{schedule.steps}  {numbers}  {left / 60:.1f} min left", flush=True)
        if time.monotonic() - saved > 60 or step == schedule.steps or state["stopped"]:
            # Sums since the last evaluation are not stored, so one point of a resumed curve averages fewer steps.
            state.update(step=step, schedule=schedule.model_dump(), recipe=recipe)
            _save(model, optimisers, folder, state, kept)
            saved = time.monotonic()

    if kept:
        model.load_state_dict(kept)
    model.eval()
    return history


def _adam(parts: Sequence[tuple[nn.Module, float]], schedule: Schedule) -> torch.optim.Optimizer:
    """Make an AdamW (without decay, Adam) with a group for each network, and its factor of the learning rate."""
    groups = [{"params": list(part.parameters()), "pace": pace} for part, pace in parts]
    fused = device_of(parts[0][0]).type == "cuda" or None  # one kernel for all weights
    betas, decay = (schedule.beta1, schedule.beta2), schedule.weight_decay
    return torch.optim.AdamW(groups, lr=schedule.lr, betas=betas, weight_decay=decay, fused=fused)


def _descend(loss: Tensor, optimiser: torch.optim.Optimizer, parts: Iterable[nn.Module], schedule: Schedule) -> None:
    """Take a training step; the gradients of each network are clipped separately."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    for part in parts if schedule.clip else ():
        nn.utils.clip_grad_norm_(part.parameters(), schedule.clip)
    optimiser.step()


def count_of_rule(state: dict, schedule: Schedule, better: bool) -> None:
    """Apply the schedule's rule for stopping early to an evaluation of the held-out loss.

    "patience": stop after `patience` evaluations in a row without a better held-out loss. "overtaken": stop if the
    held-out loss exceeded the training loss at more than `patience` evaluations in total (Ishii 2023).
    """
    history = state["history"]
    if schedule.stop == "patience":
        state["since_best"] = 0 if better else state["since_best"] + 1
        state["stopped"] = state["since_best"] >= schedule.patience
        return
    training = history.get(LIKE_HELD_OUT, history["loss"])
    state["since_best"] += history["held_out"][-1] > training[-1]
    state["stopped"] = state["since_best"] > schedule.patience


def _rate(step: int, schedule: Schedule) -> float:
    warm = min(1.0, (step + 1) / schedule.warm_up)
    return warm * (0.5 * (1 + math.cos(math.pi * step / schedule.steps)) if schedule.decay else 1.0)


def state_of(folder: Path) -> dict:
    """Read the state of the training in a folder: "step", "history", "schedule", "recipe", "stopped", "since_best".

    Raises:
        InputError: its checkpoint is missing or damaged.
    """
    return _read(folder)[0]


def _save(
    model: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    folder: Path,
    state: dict,
    kept: dict[str, Tensor],
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | {f"kept.{k}": v for k, v in kept.items()}
    for part, optimiser in zip(ADAMS, optimisers, strict=False):
        for i, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{part}.{i}.{k}": v for k, v in moments.items()}
    # Networks may share a tensor, and kept weights may be the model's own, so each name gets its own copy.
    raw = save({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, {STATE: json.dumps(state)})
    with atomic_write(folder / CHECKPOINT) as file:
        file.write_bytes(raw)


def _read(folder: Path) -> tuple[dict, dict[str, Tensor]]:
    """Read state and tensors of a checkpoint."""
    path = folder / CHECKPOINT
    damaged = InputError(f"{path} is damaged, or of an earlier version; remove {folder} to begin anew.")
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()[STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
        state.setdefault("recipe", {})  # of earlier versions
        whole_state = {
            "step": int,
            "since_best": int,
            "stopped": bool,
            "history": dict,
            "schedule": dict,
            "recipe": dict,
        }
        if any(type(state[name]) is not kind for name, kind in whole_state.items()):
            raise damaged
    except (SafetensorError, OSError, KeyError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise damaged from error
    return state, tensors


def _resume(
    model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], folder: Path, schedule: Schedule, recipe: Options
) -> tuple[dict, dict[str, Tensor]]:
    """Load the checkpoint, if there is one: return the state, and the weights kept so far."""
    if not (folder / CHECKPOINT).exists():
        return {"step": 0, "since_best": 0, "stopped": False, "history": {}}, {}
    state, tensors = _read(folder)
    _check_same(state, folder, schedule, recipe)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
    for key, value in tensors.items():
        part, _, name = key.partition(".")
        parts.setdefault(part, {})[name] = value
    kept = parts["kept"]
    if not _fits(model, parts["model"]) or (kept and not _fits(model, kept)):
        raise InputError(f"{folder} holds a training of another network; give another folder, or remove it.")
    model.load_state_dict(parts["model"])
    for part, optimiser in zip(ADAMS, optimisers, strict=False):
        _load_moments(optimiser, parts[part], folder)
    print(f"resumed at step {state['step']}", flush=True)
    return state, kept


def _check_same(state: dict, folder: Path, schedule: Schedule, recipe: Options) -> None:
    """Refuse the checkpoint of a training that was asked for in another way.

    Raises:
        InputError: the schedule or an option of the recipe differs; the message names the first.
    """
    try:
        stored = Schedule(**state["schedule"])  # with the defaults of fields that were added later
    except ValidationError as error:
        raise InputError(
            f"{folder} holds a training with another schedule; give another folder, or remove it."
        ) from error
    if (what := difference(stored.model_dump(), schedule.model_dump())) is not None:
        raise InputError(f"{folder} holds a training with another schedule: {what}; give another folder, or remove it.")
    if (what := difference(state["recipe"], recipe)) is not None:
        raise InputError(f"{folder} holds a training of another recipe: {what}; give another folder, or remove it.")


def _load_moments(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor], folder: Path) -> None:
    """Fill an optimiser from the tensors of a checkpoint.

    Raises:
        InputError: they are of another network.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        i, _, name = key.partition(".")
        moments.setdefault(int(i) if i.isdecimal() else -1, {})[name] = value
    shapes = [p.shape for group in optimiser.param_groups for p in group["params"]]
    for place, of_one in moments.items():
        if not 0 <= place < len(shapes) or any(v.shape not in (shapes[place], ()) for v in of_one.values()):
            raise InputError(f"{folder} holds a training of another network; give another folder, or remove it.")
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def _fits(model: nn.Module, tensors: dict[str, Tensor]) -> bool:
    """Check whether a network has exactly these tensors, with these shapes."""
    return {k: v.shape for k, v in tensors.items()} == {k: v.shape for k, v in model.state_dict().items()}


def _draw(history: dict[str, list], path: Path) -> None:
    names = [n for n in history if n not in ("step", "held_out", LIKE_HELD_OUT)]
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(history["step"], history[name], label="training")
        if name == "loss":
            if LIKE_HELD_OUT in history:
                axes.plot(history["step"], history[LIKE_HELD_OUT], label="training, as held out")
            axes.plot(history["step"], history["held_out"], label="held out")
            axes.legend(frameon=False)
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=110)
