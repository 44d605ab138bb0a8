"""The vector-quantised detector, in stages: slices → codes → NLL → restored codes → differences.

    nll            codes x_i of each slice, and ℓ_i = −ln p(x_i | x_<i)
    restoration    codes y of each of S restorations (method, λ_p, seed)
    decode         Y − X_j, the difference between slice and restoration j

The engine stores results and decides the order of stages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.base import BaseDetector
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage, ThresholdSpec
from napari_vqad.detectors.sample_maps import POOLED
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

# These settings have no effect without restorations.
OF_RESTORATIONS = frozenset({"lambda_p", "n_restorations", "k", "seed", "distance"})
# With these methods, only the NLL of the original codes decides which codes are resampled.
BY_OWN_NLL = ("anchored", "light", "masked")


def _no_check() -> None:
    pass


class VQDetector(BaseDetector):
    """Tokenizer and prior, in eval mode on one device."""

    kind: ClassVar[str] = "vq"
    family: ClassVar[Family] = "vector-quantised"
    files: ClassVar[tuple[str, ...]] = ("tokenizer.safetensors", "prior.safetensors")
    Settings: ClassVar[type[SharedSettings]] = VQSettings
    Config: ClassVar[type[Any]] = VQConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("nll", "NLL", at_once=16),
        Stage("restoration", "Restorations", ("nll",), ("method", "lambda_p", "seed"), samples="n_restorations"),
        Stage("decode", "Restorations", ("restoration",), samples="n_restorations", rebuildable=True),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = MAPS
    pooled: ClassVar[Mapping[str, str]] = POOLED
    thresholds: ClassVar[tuple[ThresholdSpec, ...]] = (
        ThresholdSpec("lambda_s", "nll", "nats", "codes"),
        ThresholdSpec("lambda_p", "nll", "nats", "codes"),
    )
    fused: ClassVar[Mapping[str, str]] = {"nll": "nll_all"}
    slice_title: ClassVar[str | None] = "AS_sample"
    slice_unit: ClassVar[str | None] = "nats"
    slice_threshold: ClassVar[str | None] = "lambda_s"
    tables: ClassVar[tuple[str, ...]] = healthy.TABLES

    def __init__(self, config: VQConfig, tokenizer: Tokenizer, prior: Prior | MaskedPrior) -> None:
        self.config = config
        self.tokenizer: Any = tokenizer
        self.prior: Any = prior
        self.device = device_of(tokenizer)
        self._slice_maps = SliceMaps(config.levels)
        self._begun: tuple[tuple, FirstPass] | None = None

    @classmethod
    def load(cls, config: VQConfig, files: Snapshot) -> Self:
        """Load the networks of a bundle.

        Raises:
            InputError: a file is missing, or contains other networks.
        """
        tokenizer = read_network(files, cls.files[0], partial(make_tokenizer, config.tokenizer))
        prior = read_network(files, cls.files[1], partial(make_prior, config.prior, config.tokenizer.n_codes))
        tokenizer = tokenizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        return cls(config, tokenizer, prior)

    def to(self, device: torch.device) -> Self:
        """Return the detector on another device, with new modules."""
        return type(self)(self.config, moved(self.tokenizer, device), moved(self.prior, device))

    # ---- declarations of this bundle ------------------------------------------------------------------------------

    @property
    def levels(self) -> CodeLevels:
        """The levels of codes of a slice; `levels.shape` is the shape of all arrays of codes."""
        return self.config.levels

    @property
    def causal(self) -> Prior:
        """The prior, if it is causal.

        Raises:
            InputError: the prior is masked.
        """
        if isinstance(self.prior, MaskedPrior):
            raise InputError(f"{self.config.title} has a masked prior; this needs a causal one.")
        return self.prior

    @property
    def variants(self) -> tuple[str, ...]:
        """The restoration methods that the prior supports."""
        return self.config.methods

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Restoration methods and levels of codes that this bundle allows."""
        return {"method": self.config.methods, "level": ("all", *self.levels.names)}

    def variant(self, settings: VQSettings) -> str:
        """Return the restoration method; each method has healthy tables of its own."""
        return settings.method

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """Return the setting that selects a restoration method."""
        return {"method": variant}

    @classmethod
    def inactive(cls, settings: VQSettings) -> frozenset[str]:
        """Return the settings of restorations if the method is "regenerative", which resamples no codes."""
        return OF_RESTORATIONS if settings.method == "regenerative" else frozenset()

    # ---- stages ---------------------------------------------------------------------------------------------------

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute the samples of each slice: {"codes", "nll"}, {"codes"} or {"difference"}, one sample per row."""
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
        half = max(1, job.at_once // 2)  # in two halves, so that unneeded work can stop between them
        difference = self.difference(job.slices, restored, job.position, half, job.check)
        return [{"difference": of_slice} for of_slice in difference]

    def same(self, stage: str, done: Mapping[str, Arrays], before: VQSettings, now: VQSettings) -> bool:
        """Return True if no ℓ_i lies between the two λ_p, because the same codes are then resampled.

        Return False for `sequential`, which also compares the ℓ_i given restored codes with λ_p.
        """
        if (before.method, before.seed) != (now.method, now.seed) or now.method not in BY_OWN_NLL:
            return False
        low, high = sorted((float(before.lambda_p), float(now.lambda_p)))
        nll = done["nll"]["nll"]
        return not ((nll > low) & (nll <= high)).any()

    def _guess(self, job: Job, codes: NDArray) -> NDArray:
        """Return stored restorations at the nearest λ_p, (B, S, h, w), or the slice's own codes if none are stored."""
        guess = np.repeat(codes[:, None], len(job.samples), 1)
        for row in range(len(codes)):
            near = (arrays["codes"] for _, arrays in job.near(row, "lambda_p") if "codes" in arrays)
            kept = next((c for c in near if len(c) >= job.samples.stop), None)
            if kept is not None:
                guess[row] = kept[job.samples.start : job.samples.stop]
        return guess

    @torch.inference_mode()
    def encode(self, slices: NDArray, position: NDArray) -> NDArray[np.int16]:
        """Encode slices (B, H, W) as codes (B, h, w)."""
        with exact(self.device):  # rounding errors could change which code is nearest
            codes = self.tokenizer.encode(self._tensor(slices)[:, None], self._tensor(position))
        return codes.cpu().numpy().astype(np.int16)

    @torch.inference_mode()
    def nll(self, codes: NDArray, position: NDArray) -> NDArray[np.float32]:
        """Compute ℓ (B, h, w) in nats, with the same arithmetic that `restore` uses to compare ℓ with λ_p."""
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
        """Compute restored codes (B, S, h, w).

        Args:
            codes: (B, h, w), original codes.
            nll: (B, h, w), NLL of the codes, nats.
            position: (B,), position of each slice in the head, 0 to 1.
            indices: numbers of the slices, used as keys of the noise.
            chains: numbers j of the restorations to compute.
            settings: method, λ_p in nats, and seed.
            guess: (B, S, h, w), restorations at a similar λ_p. They only save time.
            check: called repeatedly; it may raise an exception to stop the work.
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
        """Compute noise and first pass; those of the last single slice are stored, for a user who drags λ_p."""
        key = (seed, tuple(indices), chains, codes.tobytes())
        kept = self._begun  # read once: explorers in other threads may share this detector
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
        """Compute Y − X_j, SD of healthy intensity: slices (B, H, W), codes (B, S, h, w) → (B, S, H, W).

        Pictures are decoded in batches of at most `at_once`, and `check` is called before each batch.
        """
        n_slices, n_chains = restored.shape[:2]
        owner = np.repeat(np.arange(n_slices), n_chains)
        # Restorations of a slice without unlikely codes are identical. Decode each distinct picture once.
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
        """Compute one slice of a map; see `detectors.vq.maps`."""
        return self._slice_maps(name, data)

    def healthy(self, name: str, settings: VQSettings) -> tuple[str, str] | None:
        """Return the table of the level for the NLL map, and that of the method for residual and disagreement."""
        if name == "nll":
            return ("nll_map", settings.level) if self.levels.names else ("nll", "")
        return ("residual", settings.method) if name in ("residual", "disagreement") else None

    def slice_score(self, results: Arrays, settings: VQSettings) -> NDArray | None:
        """Compute AS_sample of each slice, (n,), nats (Marimont & Tarroni 2020, §2.3)."""
        return sample_score(torch.from_numpy(results["nll"]), float(settings.lambda_s)).numpy()

    @property
    def loss_title(self) -> str | None:
        """Return the name of the loss; None for networks of MONAI, which do not give it."""
        return None if self.config.tokenizer.kind == "monai" else "VQ-VAE loss"

    @torch.inference_mode()
    def loss(self, slices: NDArray, position: NDArray) -> NDArray[np.float32]:
        """Compute mean |Y − X| + mean ‖sg(z) − e‖² + mean ‖z − sg(e)‖² (Marimont & Tarroni 2020, §2.1), (B,)."""
        found = []
        with exact(self.device):
            for one, place in zip(self._tensor(slices)[:, None, None], self._tensor(position)[:, None], strict=True):
                decoded, _, latent = self.tokenizer(one, place)
                # Both terms of the codebook have the same value; only their gradients differ.
                found.append((decoded - one).abs().mean() + 2 * latent.commitment)
        return torch.stack(found).cpu().numpy()

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: VQSettings) -> VQUnfolding:
        """Return a restoration code by code."""
        own, restored = done["nll"], done["restoration"]["codes"]
        return VQUnfolding(self, slice_, position, own["codes"], restored, own["nll"], settings)

    def in_words(self, settings: VQSettings, thresholds: Mapping[str, float]) -> str:
        """Describe the method and its settings."""
        if settings.method == "regenerative":
            return "regenerative"
        s, limit = settings, f"{thresholds['lambda_p']:.2f} nats"
        return f"{s.method}, λ_p {limit}, S = {s.n_restorations}, k = {s.k:g}"

    def slice_words(self, settings: VQSettings) -> str:
        """Describe AS_sample."""
        limit = f"{float(settings.lambda_s):.2f} nats"
        return f"AS_sample of each slice: the sum of the NLL of its codes above λ_s, {limit}."

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check names, types, shapes and the range of codes, and that there are no more pictures than restorations."""
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
        """Return why a calibration lacks the tables of these codes; None if it has them."""
        return healthy.check(calibration, self.levels)

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """Compute quantiles of the NLL and of AS_sample."""
        return healthy.fit_tables(results, masks, self.levels)

    def compared(self, table: str, results: Arrays, mask: NDArray) -> NDArray:
        """Return the NLL of the codes within the mask, which λ_s and λ_p are compared with."""
        return healthy.nll_within(results, mask, self.levels)

    def _tensor(self, array: NDArray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, dtype)


def vq_of(bundle: Any) -> VQDetector:
    """Return the vector-quantised detector of a bundle.

    Raises:
        InputError: the bundle has another detector.
    """
    if not isinstance(bundle.detector, VQDetector):
        raise InputError(f"{bundle.title} has no tokenizer and prior; this needs a vector-quantised model.")
    return bundle.detector
