"""Spoils files of every kind that is read, to show that each is refused with one sentence."""
