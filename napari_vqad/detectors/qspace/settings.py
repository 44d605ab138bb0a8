"""The setting of the q-space detector: which novelty score is shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_vqad.settings import SharedSettings

# The names of `scores.novelty.table.SCORES`, whose import needs torch; settings are read without it.
NoveltyName = Literal[
    "latent_distance",
    "latent_bhattacharyya",
    "latent_density",
    "vae_regulariser",
    "input_distance",
    "reconstruction_error",
    "reconstruction_likelihood",
    "encoder_error",
    "encoder_likelihood",
    "decoder_error",
    "sampled_error",
    "encoder_error_min",
    "encoder_likelihood_min",
    "decoder_error_min",
    "sampled_error_min",
    "output_distance",
    "output_bhattacharyya",
    "output_density",
    "input_output_distance",
    "input_density",
    "output_input_distance",
    "closest_distance",
    "closest_distance_bounded",
    "highest_likelihood",
    "highest_likelihood_bounded",
    "elbo",
    "elbo_sampled",
]


class QSpaceSettings(SharedSettings):
    """Settings of the q-space detector."""

    novelty: NoveltyName = Field(
        default="latent_distance",
        title="Novelty",
        description="The score that says how unlike all normal voxels a voxel is, in diffusion MRI: by its code "
        "(latent, vae_regulariser), its reconstruction, sampled codes and outputs (encoder, decoder, sampled), the "
        "nearest normal voxels (distance, density), the closest vector that the VAE can generate (closest, highest), "
        "or the VAE's loss (elbo).",
        json_schema_extra={"section": "Restoration"},
    )
