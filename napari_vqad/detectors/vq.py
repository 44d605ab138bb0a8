"""The vector-quantised detector, stage by stage: slices → codes → NLL → restored codes → differences.

NumPy in, NumPy out, on whatever device the bundle is on; a stage knows nothing of caches or of order.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.bundle import Bundle
from napari_vqad.scores.nll import log_probabilities, nll
from napari_vqad.scores.noise import gumbel_batch
from napari_vqad.scores.restore import restore


class VQDetector:
    """The stages that need the networks."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @torch.inference_mode()
    def encode(self, slices: NDArray, position: NDArray) -> NDArray[np.int16]:
        """Codes (B, h, w) of slices (B, H, W)."""
        codes = self.bundle.tokenizer.encode(self._tensor(slices)[:, None], self._tensor(position))
        return codes.cpu().numpy().astype(np.int16)

    @torch.inference_mode()
    def nll(self, codes: NDArray, position: NDArray) -> NDArray[np.float32]:
        """ℓ (B, h, w) in nats."""
        x = self._tensor(codes, torch.long)
        return nll(log_probabilities(self.bundle.prior, x, self._tensor(position)), x).cpu().numpy()

    @torch.inference_mode()
    def restore(
        self,
        codes: NDArray,
        position: NDArray,
        indices: list[int],
        chains: range,
        *,
        method: str,
        lambda_p: float,
        seed: int,
    ) -> NDArray[np.int16]:
        """Restored codes (B, S, h, w) of codes (B, h, w); `indices` are the slices' numbers, which key the noise."""
        if method == "regenerative":
            return np.repeat(codes[:, None], len(chains), 1).astype(np.int16)
        noise = gumbel_batch(seed, indices, chains, self.bundle.tokenizer.n_codes, codes.shape[1:])
        restored, _ = restore(
            self.bundle.prior,
            self._tensor(codes, torch.long),
            self._tensor(position),
            self._tensor(noise),
            lambda_p,
            method,
        )
        return restored.cpu().numpy().astype(np.int16)

    @torch.inference_mode()
    def difference(self, slices: NDArray, restored: NDArray, position: NDArray) -> NDArray[np.float16]:
        """Y − X_j, SD of healthy intensity: slices (B, H, W), codes (B, S, h, w) → (B, S, H, W)."""
        n_slices, n_chains = restored.shape[:2]
        owner = np.repeat(np.arange(n_slices), n_chains)
        # Where the prior finds nothing unlikely all restorations are one: decode each picture once.
        keyed = np.column_stack([owner, restored.reshape(n_slices * n_chains, -1)])
        distinct, where = np.unique(keyed, axis=0, return_inverse=True)
        first = distinct[:, 0]
        codes = self._tensor(distinct[:, 1:].reshape(-1, *restored.shape[2:]), torch.long)
        pictures = self.bundle.tokenizer.decode(codes, self._tensor(position[first]))[:, 0]
        difference = (self._tensor(slices[first]) - pictures).half().cpu().numpy()
        return difference[where.reshape(-1)].reshape(n_slices, n_chains, *slices.shape[1:])

    def _tensor(self, array: NDArray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.bundle.device, dtype)
