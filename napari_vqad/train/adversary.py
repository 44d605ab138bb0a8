"""The discriminator that an autoencoder is trained against (Baur et al. 2018: sAE-GAN, AnoVAEGAN).

    network        λ1 |Y − X| + λ2 KL(q(z|Y) ‖ N(0, I)) − λ3 log Dis(X),   X = Dec(z)
    discriminator  −log Dis(Y) − log(1 − Dis(X))

The two are updated in turn, each with its own Adam. The gradient of KL reaches only the encoder. |Y − X| and KL are per
pixel, as in `nets.autoencoder.loss`. The paper gives neither λ nor the discriminator: here it judges patches, log Dis
is averaged over them, and λ2 is `kl` of the network.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.nets.autoencoder import Latent, LatentNetwork
from napari_vqad.nets.discriminator import Discriminator, convince_bce, log_loss
from napari_vqad.train.fit import Turn


class Adversary(BaseModel):
    """Settings of the discriminator and of its weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: float = Field(1.0, gt=0, allow_inf_nan=False, description="λ1, weight of the L1 distance")
    weight: float = Field(0.05, ge=0, allow_inf_nan=False, description="λ3, weight of −log Dis(X)")
    lr: float = Field(1e-4, gt=0, allow_inf_nan=False, description="learning rate of the discriminator's Adam")
    width: int = Field(32, ge=1, le=4096, description="channels of the discriminator's first layer")
    halvings: int = Field(
        3, ge=1, le=8, description="of the discriminator; two judge patches of 34 pixels, three of 70"
    )


class JudgedAutoencoder(nn.Module):
    """An autoencoder and its discriminator in one module: one checkpoint, two optimisers."""

    def __init__(self, network: LatentNetwork, config: Adversary) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.discriminator = Discriminator(config.width, config.halvings)
        self._seen: tuple[Tensor, Tensor] | None = None

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """The networks that `losses` trains: only the autoencoder."""
        return ((self.network, 1.0),)

    @property
    def turn(self) -> Turn:
        """The discriminator's own training step."""
        return Turn(self.discriminator, self.config.lr, self.discriminator_loss, "discriminator")

    def losses(self, slices: Tensor, decoded: Tensor, latent: Latent) -> dict[str, Tensor]:
        """Compute the loss of the autoencoder, and −log Dis(X), which is drawn as a curve.

        Args:
            slices, decoded: Y and X, (B, 1, H, W) in SD, X with its graph.
            latent: q(z|Y).
        """
        self._seen = slices, decoded.detach()
        # This loss must not train the discriminator, which has its own step.
        self.discriminator.requires_grad_(False)
        of_decoder = convince_bce(self.discriminator(decoded).float())
        self.discriminator.requires_grad_(True)
        l1 = (decoded.float() - slices).abs().mean()
        kl = self.network.kl_weight * latent.kl().mean() / slices[0].numel()
        loss = self.config.reconstruction * l1 + kl + self.config.weight * of_decoder
        return {"loss": loss, "−log Dis(X)": of_decoder}

    def discriminator_loss(self) -> Tensor:
        """Compute the discriminator's loss for the slices and decoded slices of the last call of `losses`."""
        assert self._seen is not None
        slices, decoded = self._seen
        return log_loss(self.discriminator(slices).float(), self.discriminator(decoded).float())
