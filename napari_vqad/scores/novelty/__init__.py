"""The novelty scores of Vasilev et al. 2018 ("q-Space novelty detection with variational autoencoders").

A VAE has learnt normal vectors only; each score says how unlike them a vector x is, by the code q(z|x), by the
reconstruction p(x|z), by the distance from normal vectors Y, or by a search for the closest vector that the VAE can
generate. `table.SCORES` lists them all; `compute.novelty` computes them for many vectors with bounded memory.

Notation of the docstrings, as in the paper: q the encoder, p the decoder, bar the mean of a distribution (q̄, p̄), hat
samples of it (q̂, p̂).
"""
