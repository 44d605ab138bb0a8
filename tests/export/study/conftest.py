"""A small head analysed, a review of its findings, and the study of both."""

import numpy as np
import pytest
from saved_study import QUICK

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.study import save_study
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Review
from napari_vqad.io.nifti import read_scan, write_map


@pytest.fixture
def scan(head, tmp_path):
    """The small head as a file in a folder of its own."""
    folder = tmp_path / "scans"
    folder.mkdir()
    write_map(folder / "head.nii.gz", head[0].voxels, head[0])
    return folder / "head.nii.gz"


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle, "cpu")


@pytest.fixture
def explored(bundle, scan, head):
    explorer = Explorer(bundle, QUICK)
    explorer.load_scan(read_scan(scan), head[1])
    for _ in explorer.work():
        pass
    high = float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98))  # so that several are found
    explorer.change(QUICK.model_copy(update={"flag_voxels": high}))
    return explorer


@pytest.fixture
def review(explored):
    """A reader's words on the findings."""
    review = Review()
    review.set_findings(findings(explored))
    review.set_verdict(review.found[0], "accepted")
    review.set_note(review.found[1], "vessel")
    return review


@pytest.fixture
def saved(explored, review, head, tmp_path):
    path = tmp_path / "reading.vqad"
    explored.focus = 7
    save_study(path, explored, head[1], "Brain mask from ball.nii.gz.", review.annotations, "NLL", 2)
    return path


@pytest.fixture
def no_networks(monkeypatch):
    """Nothing may be computed anew: on another machine it would come out otherwise in the last bit."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("a network was asked")

    for stage in ("encode", "nll", "restore", "difference"):
        monkeypatch.setattr(VQDetector, stage, refuse)
    monkeypatch.setattr("napari_vqad.engine.explorer.to_grid", refuse)
