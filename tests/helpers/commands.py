"""The command line, as tests call it."""

from napari_vqad.cli import main


def run(*words) -> int:
    """Run a command on one core; its exit status."""
    return main([str(w) for w in (*words, "--device", "cpu", "--threads", 1)])
