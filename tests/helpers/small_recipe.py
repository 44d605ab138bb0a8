"""A recipe of a small vector-quantised model."""

RECIPE = """
title = "Small"
description = "A recipe for tests."
[grid]
shape = [16, 24]
spacing = 8.0
[tokenizer]
channels = [8, 8]
blocks = [1, 1]
n_codes = 16
code_dim = 4
condition = 8
[tokenizer_training]
corrupt = 0.5
schedule = { steps = 30, batch = 4, lr = 3e-3, validate_every = 15 }
[prior]
channels = 16
blocks = 1
res_blocks = 1
condition = 8
[prior_training]
variants = 2
schedule = { steps = 20, batch = 4, lr = 3e-3, validate_every = 10 }
"""
