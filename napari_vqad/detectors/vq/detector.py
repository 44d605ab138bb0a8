"""The vector-quantised detector, stage by stage: slices → codes → NLL → restored codes → differences.

    nll            codes x_i of each slice, and ℓ_i = −ln p(x_i | x_<i)
    restoration    codes y of each of S restorations (method, λ_p, seed)
    decode         Y − X_j, what restoration j takes off the slice

A stage knows nothing of caches or of order: that is the engine's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.base import BaseDetector
from napari_vqad.detectors.protocol import Arrays, Job, MapSpec, SliceData, Stage, ThresholdSpec
from napari_vqad.detectors.vq import healthy
from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.detectors.vq.gumbel import gumbel_batch
from napari_vqad.detectors.vq.likelihood import log_probabilities, nll, sample_score
from napari_vqad.detectors.vq.maps import MAPS, SliceMaps
from napari_vqad.detectors.vq.masked import masked_nll, resample
from napari_vqad.detectors.vq.restoration import FirstPass, first_pass, restore
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.detectors.vq.unfolding import VQUnfolding
from napari_vqad.errors import InputError
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.nets.device import device_of, exact, moved, quick
from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.protocols import MaskedPrior, Prior
from napari_vqad.nets.vq.registry import make_prior, make_tokenizer
from napari_vqad.nets.vq.vqvae import Tokenizer
from napari_vqad.nets.weights import read_network
from napari_vqad.settings import SharedSettings

# Without restorations these change nothing.
OF_RESTORATIONS = frozenset({"lambda_p", "n_restorations", "k", "seed", "distance"})
# With these rules, which codes are resampled depends on the scan's own NLL alone.
BY_OWN_NLL = ("anchored", "light", "masked")


def _no_check() -> None:
    pass


class VQDetector(BaseDetector):
    """Tokenizer and prior, in eval mode on one device."""

    kind: ClassVar[str] = "vq"
    files: ClassVar[tuple[str, ...]] = ("tokenizer.safetensors", "prior.safetensors")
    Settings: ClassVar[type[SharedSettings]] = VQSettings
    Config: ClassVar[type[Any]] = VQConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("nll", "NLL", at_once=16),
        Stage("restoration", "Restorations", ("nll",), ("method", "lambda_p", "seed"), samples="n_restorations"),
        Stage("decode", "Restorations", ("restoration",), samples="n_restorations", rebuildable=True),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = MAPS
    thresholds: ClassVar[tuple[ThresholdSpec, ...]] = (
        ThresholdSpec("lambda_s", "nll", "nats", "codes"),
        ThresholdSpec("lambda_p", "nll", "nats", "codes"),
    )
    fused: ClassVar[Mapping[str, str]] = {"nll": "nll_all"}
    slice_title: ClassVar[str | None] = "AS_sample"
    slice_unit: ClassVar[str | None] = "nats"

    def __init__(self, config: VQConfig, tokenizer: Tokenizer, prior: Prior | MaskedPrior) -> None:
        self.config = config
        self.tokenizer: Any = tokenizer
        self.prior: Any = prior
        self.device = device_of(tokenizer)
        self._slice_maps = SliceMaps(config.levels)
        self._begun: tuple[tuple, FirstPass] | None = None

    @classmethod
    def load(cls, config: VQConfig, files: Snapshot) -> Self:
        """The networks of a bundle.

        Raises:
            InputError: a file is missing, or of other networks.
        """
        tokenizer = read_network(files, cls.files[0], partial(make_tokenizer, config.tokenizer))
        prior = read_network(files, cls.files[1], partial(make_prior, config.prior, config.tokenizer.n_codes))
        tokenizer = tokenizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        return cls(config, tokenizer, prior)

    def to(self, device: torch.device) -> Self:
        """The same networks on another device, as new modules."""
        return type(self)(self.config, moved(self.tokenizer, device), moved(self.prior, device))

    # ---- what is declared of this bundle --------------------------------------------------------------------------

    @property
    def levels(self) -> CodeLevels:
        """The levels of codes of a slice; their `shape` is that of all arrays of codes."""
        return self.config.levels

    @property
    def causal(self) -> Prior:
        """The prior, where it sees the past alone.

        Raises:
            InputError: it sees both sides.
        """
        if isinstance(self.prior, MaskedPrior):
            raise InputError(f"{self.config.title} has a masked prior; this needs a causal one.")
        return self.prior

    @property
    def variants(self) -> tuple[str, ...]:
        """The ways of restoring that the prior knows."""
        return self.config.methods

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Ways of restoring, and levels of codes."""
        return {"method": self.config.methods, "level": ("all", *self.levels.names)}

    def variant(self, settings: VQSettings) -> str:
        """Each way of restoring has healthy tables of its own."""
        return settings.method

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """The setting of a way of restoring."""
        return {"method": variant}

    @classmethod
    def inactive(cls, settings: VQSettings) -> frozenset[str]:
        """Regenerative restores nothing: neither λ_p nor S nor the seed can matter."""
        return OF_RESTORATIONS if settings.method == "regenerative" else frozenset()

    # ---- stages ---------------------------------------------------------------------------------------------------

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """The new samples of each slice: {"codes", "nll"}, {"codes"} or {"difference"}, a sample a row."""
        if stage == "nll":
            codes = self.encode(job.slices, job.position)
            found = zip(codes, self.nll(codes, job.position), strict=True)
            return [{"codes": c[None], "nll": n[None]} for c, n in found]
        if stage == "restoration":
            codes, nll = (np.stack([d[name][0] for d in job.done["nll"]]) for name in ("codes", "nll"))
            guess = self._guess(job, codes)
            drawn = self.restore(codes, nll, job.position, job.indices, job.samples, job.settings, guess, job.check)
            return [{"codes": of_slice} for of_slice in drawn]
        chains = slice(job.samples.start, job.samples.stop)
        restored = np.stack([d["codes"][chains] for d in job.done["restoration"]])
        half = max(1, job.at_once // 2)  # in two halves: what is no longer wanted ends between them
        difference = self.difference(job.slices, restored, job.position, half, job.check)
        return [{"difference": of_slice} for of_slice in difference]

    def same(self, stage: str, done: Mapping[str, Arrays], before: VQSettings, now: VQSettings) -> bool:
        """No ℓ_i lies between two λ_p: the codes to resample are the same there.

        Not with the `sequential` rule, which compares other ℓ with λ_p, too.
        """
        if (before.method, before.seed) != (now.method, now.seed) or now.method not in BY_OWN_NLL:
            return False
        low, high = sorted((float(before.lambda_p), float(now.lambda_p)))
        nll = done["nll"]["nll"]
        return not ((nll > low) & (nll <= high)).any()

    def _guess(self, job: Job, codes: NDArray) -> NDArray:
        """The same restorations at the nearest λ_p that has them, (B, S, h, w); else the slice's own codes."""
        guess = np.repeat(codes[:, None], len(job.samples), 1)
        for row in range(len(codes)):
            near = (arrays["codes"] for _, arrays in job.near(row, "lambda_p") if "codes" in arrays)
            kept = next((c for c in near if len(c) >= job.samples.stop), None)
            if kept is not None:
                guess[row] = kept[job.samples.start : job.samples.stop]
        return guess

    @torch.inference_mode()
    def encode(self, slices: NDArray, position: NDArray) -> NDArray[np.int16]:
        """Codes (B, h, w) of slices (B, H, W)."""
        with exact(self.device):  # which code is nearest is a decision
            codes = self.tokenizer.encode(self._tensor(slices)[:, None], self._tensor(position))
        return codes.cpu().numpy().astype(np.int16)

    @torch.inference_mode()
    def nll(self, codes: NDArray, position: NDArray) -> NDArray[np.float32]:
        """ℓ (B, h, w) in nats, by the same arithmetic that `restore` compares with λ_p."""
        x = self._tensor(codes, torch.long)
        with exact(self.device):
            prior, where = self.prior, self._tensor(position)
            if isinstance(prior, MaskedPrior):
                return masked_nll(prior, x, where).cpu().numpy()
            return nll(log_probabilities(prior, x, where, RowCache()), x).cpu().numpy()

    @torch.inference_mode()
    def restore(
        self,
        codes: NDArray,
        nll: NDArray,
        position: NDArray,
        indices: Sequence[int],
        chains: range,
        settings: VQSettings,
        guess: NDArray | None = None,
        check: Callable[[], None] = _no_check,
    ) -> NDArray[np.int16]:
        """Restored codes (B, S, h, w) of codes (B, h, w).

        Args:
            codes, nll, position: the slices.
            indices: their numbers, which key the noise.
            chains: which restorations j.
            settings: method, λ_p in nats, and seed.
            guess: (B, S, h, w), restorations at a λ_p nearby.
            check: called again and again; what it raises ends the work.
        """
        if settings.method == "regenerative":
            return np.repeat(codes[:, None], len(chains), 1).astype(np.int16)
        with exact(self.device):
            if isinstance(prior := self.prior, MaskedPrior):
                noise = gumbel_batch(settings.seed, indices, chains, prior.n_codes, codes.shape[1:])
                unlikely, x = self._tensor(nll) > float(settings.lambda_p), self._tensor(codes, torch.long)
                again = resample(prior, x, self._tensor(position), unlikely, self._tensor(noise))
                return again.cpu().numpy().astype(np.int16)
            begun = self._begin(codes, position, indices, chains, settings.seed)
            start = None if guess is None else self._tensor(guess, torch.long)
            restored, _ = restore(begun, float(settings.lambda_p), settings.method, start, check)
        return restored.cpu().numpy().astype(np.int16)

    def _begin(self, codes: NDArray, position: NDArray, indices: Sequence[int], chains: range, seed: int) -> FirstPass:
        """Noise and first pass; kept of the last single slice, where λ_p is dragged over one slice in view."""
        key = (seed, tuple(indices), chains, codes.tobytes())
        kept = self._begun  # several explorers may share this detector, each in a thread of its own
        if kept is not None and kept[0] == key:
            return kept[1]
        noise = gumbel_batch(seed, indices, chains, self.tokenizer.n_codes, codes.shape[1:])
        x = self._tensor(codes, torch.long)
        begun = first_pass(self.causal, x, self._tensor(position), self._tensor(noise))
        if len(indices) == 1:
            self._begun = key, begun
        return begun

    @torch.inference_mode()
    def difference(
        self,
        slices: NDArray,
        restored: NDArray,
        position: NDArray,
        at_once: int = 30,
        check: Callable[[], None] = _no_check,
    ) -> NDArray[np.float16]:
        """Y − X_j, SD of healthy intensity: slices (B, H, W), codes (B, S, h, w) → (B, S, H, W).

        At most `at_once` pictures are decoded together, and `check` is called before each lot.
        """
        n_slices, n_chains = restored.shape[:2]
        owner = np.repeat(np.arange(n_slices), n_chains)
        # Where the prior finds nothing unlikely all restorations are one: decode each picture once.
        keyed = np.column_stack([owner, restored.reshape(n_slices * n_chains, -1)])
        distinct, where = np.unique(keyed, axis=0, return_inverse=True)
        first, codes = distinct[:, 0], distinct[:, 1:].reshape(-1, *restored.shape[2:])
        difference = np.empty((len(distinct), *slices.shape[1:]), np.float16)
        for start in range(0, len(distinct), at_once):
            check()
            lot = slice(start, start + at_once)
            with quick(self.device):
                pictures = self.tokenizer.decode(
                    self._tensor(codes[lot], torch.long), self._tensor(position[first[lot]])
                )
            difference[lot] = (self._tensor(slices[first[lot]]) - pictures[:, 0].float()).half().cpu().numpy()
        return difference[where.reshape(-1)].reshape(n_slices, n_chains, *slices.shape[1:])

    # ---- maps and healthy values ----------------------------------------------------------------------------------

    def map(self, name: str, data: SliceData) -> NDArray:
        """One slice of a map; see `detectors.vq.maps`."""
        return self._slice_maps(name, data)

    def healthy(self, name: str, settings: VQSettings) -> tuple[str, str] | None:
        """The NLL map has a table for each level; residuals, and how restorations differ, for each way of restoring."""
        if name == "nll":
            return "nll_map", settings.level
        return ("residual", settings.method) if name in ("residual", "disagreement") else None

    def slice_score(self, results: Arrays, settings: VQSettings) -> NDArray | None:
        """AS_sample of each slice, (n,), nats (Marimont & Tarroni 2020, §2.3)."""
        return sample_score(torch.from_numpy(results["nll"]), float(settings.lambda_s)).numpy()

    @property
    def loss_title(self) -> str | None:
        """The loss of the VQ-VAE; networks of MONAI do not tell it."""
        return None if self.config.tokenizer.kind == "monai" else "VQ-VAE loss"

    @torch.inference_mode()
    def loss(self, slices: NDArray, position: NDArray) -> NDArray[np.float32]:
        """mean |Y − X| + mean ‖sg(z) − e‖² + mean ‖z − sg(e)‖² of each slice (Marimont & Tarroni 2020, §2.1)."""
        found = []
        with exact(self.device):
            for one, place in zip(self._tensor(slices)[:, None, None], self._tensor(position)[:, None], strict=True):
                decoded, _, latent = self.tokenizer(one, place)
                # Both terms of the codebook have the same value; they differ in what they teach.
                found.append((decoded - one).abs().mean() + 2 * latent.commitment)
        return torch.stack(found).cpu().numpy()

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: VQSettings) -> VQUnfolding:
        """A restoration code by code."""
        own, restored = done["nll"], done["restoration"]["codes"]
        return VQUnfolding(self, slice_, position, own["codes"], restored, own["nll"], settings)

    def in_words(self, settings: VQSettings, thresholds: Mapping[str, float]) -> str:
        """Method and its settings."""
        if settings.method == "regenerative":
            return "regenerative"
        s, limit = settings, f"{thresholds['lambda_p']:.2f} nats"
        return f"{s.method}, λ_p {limit}, S = {s.n_restorations}, k = {s.k:g}"

    def slice_words(self, settings: VQSettings) -> str:
        """What AS_sample is."""
        limit = f"{float(settings.lambda_s):.2f} nats"
        return f"AS_sample of each slice: the sum of the NLL of its codes above λ_s, {limit}."

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Codes that the tokenizer knows, their NLL, and pictures; no more pictures than restorations."""
        if set(results) != {stage.name for stage in self.stages}:
            return False
        kinds = {
            ("nll", "codes"): (np.int16, self.levels.shape),
            ("nll", "nll"): (np.float32, self.levels.shape),
            ("restoration", "codes"): (np.int16, self.levels.shape),
            ("decode", "difference"): (np.float16, shape),
        }
        for stage, slices in results.items():
            names = {name for of_stage, name in kinds if of_stage == stage}
            for arrays in slices:
                if arrays and set(arrays) != names:
                    return False
                for name, array in arrays.items():
                    dtype, sides = kinds[stage, name]
                    if array.dtype != dtype or array.shape[1:] != tuple(sides):
                        return False
                    if name == "codes" and (array.min() < 0 or array.max() >= self.tokenizer.n_codes):
                        return False
        pairs = zip(results["decode"], results["restoration"], strict=True)
        return all(len(d.get("difference", ())) <= len(r.get("codes", ())) for d, r in pairs)

    def check(self, calibration: Any) -> str | None:
        """Are there tables of the NLL of these codes?"""
        return healthy.check(calibration, self.levels)

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """Quantiles of the NLL and of AS_sample."""
        return healthy.fit_tables(results, masks, self.levels)

    def _tensor(self, array: NDArray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, dtype)


def vq_of(bundle: Any) -> VQDetector:
    """The vector-quantised detector of a bundle.

    Raises:
        InputError: it has another detector.
    """
    if not isinstance(bundle.detector, VQDetector):
        raise InputError(f"{bundle.title} has no tokenizer and prior; this needs a vector-quantised model.")
    return bundle.detector
