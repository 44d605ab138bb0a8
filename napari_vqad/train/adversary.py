"""The adversary of an autoencoder's decoder (Baur et al. 2018: sAE-GAN, AnoVAEGAN).

    network        λ1 |Y − X| + λ2 KL(q(z|Y) ‖ N(0, I)) − λ3 log Dis(X),   X = Dec(z)
    discriminator  −log Dis(Y) − log(1 − Dis(X))

The two descend in turn, each with an Adam of its own. KL reaches the encoder alone. |Y − X| and KL are per pixel, as
in `nets.autoencoder.loss`. The paper gives neither λ nor the discriminator: here it judges patches, log Dis is averaged
over them, and λ2 is `kl` of the network.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.nets.autoencoder import Latent, LatentNetwork
from napari_vqad.nets.discriminator import Discriminator, convince_bce, log_loss
from napari_vqad.train.fit import Turn


class Adversary(BaseModel):
    """How the decoder is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reconstruction: float = Field(1.0, gt=0, allow_inf_nan=False, description="λ1, weight of the L1 distance")
    weight: float = Field(0.05, ge=0, allow_inf_nan=False, description="λ3, weight of −log Dis(X)")
    lr: float = Field(1e-4, gt=0, allow_inf_nan=False, description="learning rate of the discriminator's Adam")
    width: int = Field(32, ge=1, le=4096, description="channels of the discriminator's first layer")
    halvings: int = Field(
        3, ge=1, le=8, description="of the discriminator; two judge patches of 34 pixels, three of 70"
    )


class JudgedAutoencoder(nn.Module):
    """An autoencoder and its discriminator: one checkpoint, two optimisers."""

    def __init__(self, network: LatentNetwork, config: Adversary) -> None:
        super().__init__()
        self.network, self.config = network, config
        self.discriminator = Discriminator(config.width, config.halvings)
        self._seen: tuple[Tensor, Tensor] | None = None

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """What descends `losses`: the autoencoder alone."""
        return ((self.network, 1.0),)

    @property
    def turn(self) -> Turn:
        """The step of the discriminator."""
        return Turn(self.discriminator, self.config.lr, self.discriminator_loss, "discriminator")

    def losses(self, slices: Tensor, decoded: Tensor, latent: Latent) -> dict[str, Tensor]:
        """The loss of the autoencoder, and −log Dis(X) as a curve.

        Args:
            slices, decoded: Y and X, (B, 1, H, W) in SD, X with its graph.
            latent: q(z|Y).
        """
        self._seen = slices, decoded.detach()
        # The discriminator must not learn from what convinces it: it has a turn of its own.
        self.discriminator.requires_grad_(False)
        convince = convince_bce(self.discriminator(decoded).float())
        self.discriminator.requires_grad_(True)
        apart = (decoded.float() - slices).abs().mean()
        kl = self.network.kl_weight * latent.kl().mean() / slices[0].numel()
        loss = self.config.reconstruction * apart + kl + self.config.weight * convince
        return {"loss": loss, "−log Dis(X)": convince}

    def discriminator_loss(self) -> Tensor:
        """The loss of the discriminator on the slices that `losses` saw last, and on what was decoded of them."""
        assert self._seen is not None
        slices, decoded = self._seen
        return log_loss(self.discriminator(slices).float(), self.discriminator(decoded).float())
