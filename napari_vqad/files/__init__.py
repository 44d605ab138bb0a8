"""Reads files of unknown origin safely: regular files only, and at most the sizes in `limits`."""
