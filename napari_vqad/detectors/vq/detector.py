"""The vector-quantised detector, stage by stage: slices → codes → NLL → restored codes → differences.

NumPy in, NumPy out, on whatever device the bundle is on; a stage knows nothing of caches or of order.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.vq.gumbel import gumbel_batch
from napari_vqad.detectors.vq.likelihood import log_probabilities, nll
from napari_vqad.detectors.vq.masked import masked_nll, resample
from napari_vqad.detectors.vq.restoration import Begun, begin, restore
from napari_vqad.detectors.vq.rule import Rule
from napari_vqad.nets.device import exact, quick
from napari_vqad.nets.vq.kv_cache import Memory
from napari_vqad.nets.vq.protocols import MaskedPrior


def _no_check() -> None:
    pass


class VQDetector:
    """The stages that need the networks."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._begun: tuple[tuple, Begun] | None = None

    @torch.inference_mode()
    def encode(self, slices: NDArray, position: NDArray) -> NDArray[np.int16]:
        """Codes (B, h, w) of slices (B, H, W)."""
        with exact(self.bundle.device):  # which code is nearest is a decision
            codes = self.bundle.tokenizer.encode(self._tensor(slices)[:, None], self._tensor(position))
        return codes.cpu().numpy().astype(np.int16)

    @torch.inference_mode()
    def nll(self, codes: NDArray, position: NDArray) -> NDArray[np.float32]:
        """ℓ (B, h, w) in nats, by the same arithmetic that `restore` compares with λ_p."""
        x = self._tensor(codes, torch.long)
        with exact(self.bundle.device):
            prior, where = self.bundle.prior, self._tensor(position)
            if isinstance(prior, MaskedPrior):
                return masked_nll(prior, x, where).cpu().numpy()
            return nll(log_probabilities(prior, x, where, Memory()), x).cpu().numpy()

    @torch.inference_mode()
    def restore(
        self,
        codes: NDArray,
        nll: NDArray,
        position: NDArray,
        indices: list[int],
        chains: range,
        rule: Rule,
        guess: NDArray | None = None,
        check: Callable[[], None] = _no_check,
    ) -> NDArray[np.int16]:
        """Restored codes (B, S, h, w) of codes (B, h, w).

        Args:
            codes, nll, position: the slices.
            indices: their numbers, which key the noise.
            chains: which restorations j.
            rule: method, λ_p and seed.
            guess: (B, S, h, w), restorations at a λ_p nearby.
            check: called again and again; what it raises ends the work.
        """
        if rule.method == "regenerative":
            return np.repeat(codes[:, None], len(chains), 1).astype(np.int16)
        with exact(self.bundle.device):
            if isinstance(prior := self.bundle.prior, MaskedPrior):
                noise = gumbel_batch(rule.seed, indices, chains, prior.n_codes, codes.shape[1:])
                unlikely, x = self._tensor(nll) > rule.lambda_p, self._tensor(codes, torch.long)
                again = resample(prior, x, self._tensor(position), unlikely, self._tensor(noise))
                return again.cpu().numpy().astype(np.int16)
            begun = self._begin(codes, position, indices, chains, rule.seed)
            start = None if guess is None else self._tensor(guess, torch.long)
            restored, _ = restore(begun, rule.lambda_p, rule.method, start, check)
        return restored.cpu().numpy().astype(np.int16)

    def _begin(self, codes: NDArray, position: NDArray, indices: list[int], chains: range, seed: int) -> Begun:
        """Noise and first pass; kept of the last single slice, where λ_p is dragged over one slice in view."""
        key = (seed, tuple(indices), chains, codes.tobytes())
        if self._begun is not None and self._begun[0] == key:
            return self._begun[1]
        noise = gumbel_batch(seed, indices, chains, self.bundle.tokenizer.n_codes, codes.shape[1:])
        x = self._tensor(codes, torch.long)
        begun = begin(self.bundle.causal, x, self._tensor(position), self._tensor(noise))
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
            with quick(self.bundle.device):
                pictures = self.bundle.tokenizer.decode(
                    self._tensor(codes[lot], torch.long), self._tensor(position[first[lot]])
                )
            difference[lot] = (self._tensor(slices[first[lot]]) - pictures[:, 0].float()).half().cpu().numpy()
        return difference[where.reshape(-1)].reshape(n_slices, n_chains, *slices.shape[1:])

    def _tensor(self, array: NDArray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.bundle.device, dtype)
