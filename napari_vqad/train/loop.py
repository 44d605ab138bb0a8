"""The one training loop: seeded by step, resumable after a kill, with progress and curves; the best weights kept."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from napari_vqad.device import has_bf16
from napari_vqad.errors import InputError


class Schedule(BaseModel):
    """How long and how fast. The paper trains with Adam at 1e-4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(2000, ge=1, le=10**8, description="optimiser steps")
    batch: int = Field(32, ge=1, le=10**6, description="slices a step")
    lr: float = Field(1e-4, gt=0, allow_inf_nan=False, description="Adam's learning rate after a warm-up of 100 steps")
    decay: bool = Field(True, description="let the rate fall to zero along a cosine")
    seed: int = Field(0, ge=0, lt=2**32)
    validate_every: int = Field(250, ge=1, description="steps between looks at the held-out loss")
    keep: Literal["best", "last"] = Field("best", description="weights: of the best held-out loss, or the last ones")
    patience: int = Field(8, ge=1, description="looks without a better held-out loss before training stops early")


Losses = dict[str, Tensor]


def fit(
    model: nn.Module,
    losses: Callable[[torch.Generator, int], Losses],
    held_out: Callable[[], float],
    folder: Path,
    schedule: Schedule,
    device: torch.device,
) -> dict[str, list]:
    """Train `model` in place and leave it with its best weights, or its last.

    Args:
        model: on `device` already; its `parts`, if it has some, are networks and their learning rates as multiples of
            the schedule's; gradients are clipped each for itself.
        losses: generator and step → named losses; "loss" is the one to descend, the others are drawn as curves.
        held_out: the held-out loss, called with the model in eval mode.
        folder: where `checkpoint.safetensors`, `state.json`, `kept.safetensors` and `curves.png` live. When it holds
            a checkpoint of the same schedule, training goes on from there.
        schedule: steps, rate and so on.
        device: for the random generator and mixed precision.

    Returns:
        history: name → values, one every `validate_every` steps; also written to state.json.

    Raises:
        InputError: the folder holds a checkpoint of another schedule or model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = getattr(model, "parts", ((model, 1.0),))
    groups = [{"params": list(part.parameters()), "pace": pace} for part, pace in parts]
    optimiser = torch.optim.Adam(groups, lr=schedule.lr, betas=(0.9, 0.99))
    state = _resume(model, optimiser, folder, schedule)
    history, started, first = state["history"], time.monotonic(), state["step"]
    running: dict[str, float] = {}
    saved = time.monotonic()

    step = first
    while step < schedule.steps and not state["stopped"]:
        # One generator a step: a resumed run sees the very slices that an unbroken one would have seen.
        rng = torch.Generator(device=device).manual_seed(schedule.seed * 1_000_003 + step)
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = schedule.lr * _rate(step, schedule) * group["pace"]
        model.train()
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            values = losses(rng, step)
        optimiser.zero_grad(set_to_none=True)
        values["loss"].backward()
        for part, _ in parts:
            nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimiser.step()
        step += 1
        for name, value in values.items():
            running[name] = running.get(name, 0.0) + float(value.detach())

        if step % schedule.validate_every == 0 or step == schedule.steps:
            model.eval()
            with torch.no_grad():
                score = held_out()
            count = (step - 1) % schedule.validate_every + 1
            for name, total in running.items():
                history.setdefault(name, []).append(total / count)
            history.setdefault("held_out", []).append(score)
            history.setdefault("step", []).append(step)
            running.clear()
            better = score <= min(history["held_out"])
            if better or schedule.keep == "last":
                save_file(_tensors(model), folder / "kept.safetensors")
            state["since_best"] = 0 if better else state["since_best"] + 1
            state["stopped"] = state["since_best"] >= schedule.patience
            _draw(history, folder / "curves.png")
            left = (schedule.steps - step) * (time.monotonic() - started) / (step - first)
            numbers = "  ".join(f"{k} {v[-1]:.4f}" for k, v in history.items() if k != "step")
            print(f"step {step}/{schedule.steps}  {numbers}  {left / 60:.1f} min left", flush=True)
        if time.monotonic() - saved > 60 or step == schedule.steps or state["stopped"]:
            # Sums since the last look are not kept: a resumed curve has one point averaged over fewer steps.
            state.update(step=step, schedule=schedule.model_dump())
            _save(model, optimiser, folder, state)
            saved = time.monotonic()

    if (folder / "kept.safetensors").exists():
        model.load_state_dict(load_file(folder / "kept.safetensors", device=str(device)))
    model.eval()
    return history


def _rate(step: int, schedule: Schedule) -> float:
    warm = min(1.0, (step + 1) / 100)
    return warm * (0.5 * (1 + math.cos(math.pi * step / schedule.steps)) if schedule.decay else 1.0)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.contiguous() for k, v in model.state_dict().items()}


def _save(model: nn.Module, optimiser: torch.optim.Optimizer, folder: Path, state: dict) -> None:
    tensors = {f"model.{k}": v for k, v in _tensors(model).items()}
    for i, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": v.contiguous() for k, v in moments.items()}
    save_file(tensors, folder / "checkpoint.tmp")
    (folder / "state.tmp").write_text(json.dumps(state))
    (folder / "checkpoint.tmp").replace(folder / "checkpoint.safetensors")
    (folder / "state.tmp").replace(folder / "state.json")


def _resume(model: nn.Module, optimiser: torch.optim.Optimizer, folder: Path, schedule: Schedule) -> dict:
    if not (folder / "state.json").exists():
        return {"step": 0, "since_best": 0, "stopped": False, "history": {}}
    state = json.loads((folder / "state.json").read_text())
    if Schedule(**state["schedule"]) != schedule:
        raise InputError(f"{folder} holds a training with another schedule; give another folder, or remove it.")
    tensors = load_file(folder / "checkpoint.safetensors")
    try:
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    except RuntimeError as error:
        raise InputError(f"{folder} holds a training of another network; give another folder, or remove it.") from error
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, i, name = key.split(".", 2)
            moments.setdefault(int(i), {})[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
    print(f"resumed at step {state['step']}", flush=True)
    return state


def _draw(history: dict[str, list], path: Path) -> None:
    names = [n for n in history if n not in ("step", "held_out")]
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot(history["step"], history[name], label="training")
        if name == "loss":
            axes.plot(history["step"], history["held_out"], label="held out")
            axes.legend(frameon=False)
        axes.set(title=name, xlabel="step")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
