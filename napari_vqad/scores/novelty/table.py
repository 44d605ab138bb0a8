"""The table of all novelty scores: detectors, experiments and the documentation are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from napari_vqad.scores.novelty import closest, elbo, latent, outputs, reconstruction
from napari_vqad.scores.novelty.batch import Batch
from napari_vqad.scores.novelty.mixture import thinned

Need = Literal["code", "reconstruction", "samples", "reference", "search"]
Unit = Literal["nats", "input", "prior SD"]


@dataclass(frozen=True)
class NoveltyScore:
    """A novelty score; high values are novel.

    Attributes:
        name: identifier, for settings and files.
        title: name for lists and tables.
        symbol: of the paper.
        equation: its number in the paper, with "min" or "bounded" for a variant; "" for the baseline.
        unit: "input" is the unit of the vectors x; "prior SD" the unit of z, whose prior has SD 1.
        needs: "code" is q(z|x); "reconstruction" p(x|z); "samples" passes samples through the decoder; "reference" are
            normal vectors Y; "search" is an optimisation over z by the decoder's gradient.
        options: the fields of `Options` that change it.
        of: computes it for a batch: (B,).
    """

    name: str
    title: str
    symbol: str
    equation: str
    unit: Unit
    needs: tuple[Need, ...]
    of: Callable[[Batch], Tensor]
    options: tuple[str, ...] = ()


_DRAWN = ("samples", "seed")
_ALL = (
    NoveltyScore(
        "input_distance", "distance of inputs (baseline)", "N_x−y", "", "input",
        ("reference",), lambda b: outputs.input_distance(b.x, b.reference.near_vectors),
    ),
    NoveltyScore(
        "vae_regulariser", "VAE regulariser", "N_VAE-reg", "(2)", "nats",
        ("code",), lambda b: latent.vae_regulariser(b.q),
    ),
    NoveltyScore(
        "latent_distance", "distance of codes", "N_q̄−q̄y", "(3)", "prior SD",
        ("code", "reference"), lambda b: latent.latent_distance(b.q, b.reference.near_codes),
    ),
    NoveltyScore(
        "latent_bhattacharyya", "Bhattacharyya distance of codes", "N_q−qy", "(4)", "nats",
        ("code", "reference"),
        lambda b: latent.latent_bhattacharyya(b.q, b.reference.near_code_gaussians, b.options.candidates),
        ("candidates",),
    ),
    NoveltyScore(
        "latent_density", "density of codes", "N_qY", "(5)", "nats",
        ("code", "reference"),
        lambda b: latent.latent_density(b.q, thinned(b.reference.codes, b.options.components)),
        ("components",),
    ),
    NoveltyScore(
        "reconstruction_error", "reconstruction error", "N_x−p̄(q̄)", "(6)", "input",
        ("code", "reconstruction"), lambda b: reconstruction.reconstruction_error(b.x, b.p),
    ),
    NoveltyScore(
        "reconstruction_likelihood", "reconstruction likelihood", "N_p̄(q̄)", "(7)", "nats",
        ("code", "reconstruction"), lambda b: reconstruction.reconstruction_likelihood(b.x, b.p),
    ),
    NoveltyScore(
        "encoder_error", "error over sampled codes", "N_x−p̄(q̂)", "(8)", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.encoder_error(b.drawn), _DRAWN,
    ),
    NoveltyScore(
        "encoder_likelihood", "reconstruction probability", "N_p̄(q̂)", "(9)", "nats",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.encoder_likelihood(b.drawn), _DRAWN,
    ),
    NoveltyScore(
        "decoder_error", "error over sampled outputs", "N_x−p̂(q̄)", "(10)", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.decoder_error(b.x, b.p, b.noise_x), _DRAWN,
    ),
    NoveltyScore(
        "sampled_error", "error over sampled codes and outputs", "N_x−p̂(q̂)", "(11)", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.sampled_error(b.drawn), _DRAWN,
    ),
    NoveltyScore(
        "encoder_error_min", "least error over sampled codes", "N_x−p̄(q̂) min", "(8) min", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.encoder_error(b.drawn, "min"), _DRAWN,
    ),
    NoveltyScore(
        "encoder_likelihood_min", "best likelihood over sampled codes", "N_p̄(q̂) min", "(9) min", "nats",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.encoder_likelihood(b.drawn, "min"), _DRAWN,
    ),
    NoveltyScore(
        "decoder_error_min", "least error over sampled outputs", "N_x−p̂(q̄) min", "(10) min", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.decoder_error(b.x, b.p, b.noise_x, "min"), _DRAWN,
    ),
    NoveltyScore(
        "sampled_error_min", "least error over sampled codes and outputs", "N_x−p̂(q̂) min", "(11) min", "input",
        ("code", "reconstruction", "samples"),
        lambda b: reconstruction.sampled_error(b.drawn, "min"), _DRAWN,
    ),
    NoveltyScore(
        "output_distance", "distance of reconstructions", "N_p̄(q̄)−p̄(q̄y)", "(12)", "input",
        ("code", "reconstruction", "reference"),
        lambda b: outputs.output_distance(b.p, b.reference.near_outputs),
    ),
    NoveltyScore(
        "output_bhattacharyya", "Bhattacharyya distance of reconstructions", "N_p(q̄)−p(q̄y)", "(13)", "nats",
        ("code", "reconstruction", "reference"),
        lambda b: outputs.output_bhattacharyya(b.p, b.reference.near_output_gaussians, b.options.candidates),
        ("candidates",),
    ),
    NoveltyScore(
        "output_density", "density of the reconstruction", "N_p(q̄)Y", "(14)", "nats",
        ("code", "reconstruction", "reference"),
        lambda b: outputs.output_density(b.p, thinned(b.reference.outputs, b.options.components)),
        ("components",),
    ),
    NoveltyScore(
        "input_output_distance", "distance from normal reconstructions", "N_x−p̄(q̄y)", "(15)", "input",
        ("reconstruction", "reference"), lambda b: outputs.input_output_distance(b.x, b.reference.near_outputs),
    ),
    NoveltyScore(
        "input_density", "density of the input", "N_p(q̄)Y(x)", "(16)", "nats",
        ("reconstruction", "reference"),
        lambda b: outputs.input_density(b.x, thinned(b.reference.outputs, b.options.components)),
        ("components",),
    ),
    NoveltyScore(
        "output_input_distance", "distance of the reconstruction from inputs", "N_p̄(q̄)−y", "(17)", "input",
        ("code", "reconstruction", "reference"),
        lambda b: outputs.output_input_distance(b.p, b.reference.near_vectors),
    ),
    NoveltyScore(
        "closest_distance", "distance from the closest generated vector", "N_x−p̂", "(18)", "input",
        ("code", "reconstruction", "search"),
        lambda b: closest.closest_distance(b.x, b.q[0], b.vae.decode, steps=b.options.steps, check=b.check),
        ("steps",),
    ),
    NoveltyScore(
        "closest_distance_bounded", "distance from the closest generated vector, bounded", "N_x−p̂b", "(18) bounded",
        "input", ("code", "reconstruction", "search"),
        lambda b: closest.closest_distance(b.x, b.q[0], b.vae.decode, b.options.bound, b.options.steps, b.check),
        ("steps", "bound"),
    ),
    NoveltyScore(
        "highest_likelihood", "highest generated likelihood", "N_p̂", "(19)", "nats",
        ("code", "reconstruction", "search"),
        lambda b: closest.highest_likelihood(b.x, b.q[0], b.vae.decode, steps=b.options.steps, check=b.check),
        ("steps",),
    ),
    NoveltyScore(
        "highest_likelihood_bounded", "highest generated likelihood, bounded", "N_p̂b", "(19) bounded", "nats",
        ("code", "reconstruction", "search"),
        lambda b: closest.highest_likelihood(b.x, b.q[0], b.vae.decode, b.options.bound, b.options.steps, b.check),
        ("steps", "bound"),
    ),
    NoveltyScore(
        "elbo", "−ELBO, one sample", "N_−ELBO", "(20)", "nats",
        ("code", "reconstruction", "samples"),
        lambda b: elbo.elbo_score(b.q, b.drawn.surprise[:1]), ("seed",),
    ),
    NoveltyScore(
        "elbo_sampled", "−ELBO, several samples", "N_−ELBO^", "(21)", "nats",
        ("code", "reconstruction", "samples"),
        lambda b: elbo.elbo_score(b.q, b.drawn.surprise), _DRAWN,
    ),
)  # fmt: skip

SCORES: Mapping[str, NoveltyScore] = {score.name: score for score in _ALL}
