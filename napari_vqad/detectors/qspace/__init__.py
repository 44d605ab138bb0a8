"""Novelty of single voxels in diffusion MRI: a VAE of their measurements (Vasilev et al. 2018)."""
