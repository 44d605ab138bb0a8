"""Damage files of every format that the package reads, to test that each is refused with one sentence."""
