"""A study saved and opened again: the same maps and findings without any network, and it goes on from there."""

import os
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from saved_study import QUICK, edit

import napari_vqad
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.report import report_html
from napari_vqad.export.study import open_study, save_study
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Annotation, Review
from napari_vqad.io.nifti import read_scan
from napari_vqad.scoring import Result


def test_the_same_pictures_and_numbers_without_a_network(saved, explored, review, head, bundle, no_networks):
    study = open_study(saved, bundle=bundle)
    again = study.explorer
    assert again.complete
    assert list(again.work()) == []
    for name in explored.maps:
        for j in range(3 if name == "restoration_j" else 1):
            np.testing.assert_array_equal(again.map(name, j), explored.map(name, j), err_msg=name)
    np.testing.assert_array_equal(again.slice_scores(), explored.slice_scores())
    np.testing.assert_array_equal(again.weights(), explored.weights())
    assert [(f.centre, f.ml, f.peak, f.evidence) for f in findings(again)] == [
        (f.centre, f.ml, f.peak, f.evidence) for f in findings(explored)
    ]
    assert again.settings == explored.settings
    np.testing.assert_array_equal(study.mask, head[1])
    assert (study.mask_note, study.slice, study.view, study.which) == ("Brain mask from ball.nii.gz.", 7, "NLL", 2)
    back = Review()
    back.set_findings(findings(again))
    back.restore(study.words)
    assert [back.annotation(f) for f in back.found[:3]] == [
        Annotation("accepted"),
        Annotation("open", "vessel"),
        Annotation(),
    ]
    assert not back.undo(), "what was said before is no step of today"


THEN = {"device": "cuda", "versions": {"napari-vqad": "0.0.9", "torch": "2.0"}}


def of_another_machine(path):
    """Make a study one that was computed and saved elsewhere, by another version."""
    software = {"napari-vqad": "0.0.9", "python": "3.11"}
    edit(path, made=[THEN], software=software, saved="2026-11-20T08:30:00+01:00")


def reopened(path, bundle):
    study = open_study(path, bundle=bundle)
    return Result(study.explorer, study.volume, study.mask, study.mask_note, reopened=study.saved)


def test_with_what_it_was_computed_is_said_wherever_it_is_opened(saved, explored, bundle):
    assert [m.device for m in open_study(saved, bundle=bundle).explorer.computed_with] == ["cpu"]
    of_another_machine(saved)
    result = reopened(saved, bundle)
    numbers = result.as_dict()
    assert numbers["computed"] == [THEN]
    assert numbers["study"] == {"saved": "2026-11-20T08:30:00+01:00", "napari-vqad": "0.0.9"}
    assert numbers["written"] == {"napari-vqad": napari_vqad.__version__}
    html = report_html(result.explorer, numbers, result.review)
    for head, said in (
        ("Computed with", "cuda; napari-vqad 0.0.9, torch 2.0"),
        ("Study saved", "20 November 2026, 08:30 UTC+01:00, with napari-vqad 0.0.9"),
        ("Report written with", f"napari-vqad {napari_vqad.__version__}"),
    ):
        assert f'<th scope="row">{head}</th><td>{said}</td>' in html, head
    save_study(saved, result.explorer, result.mask)  # and again, by this version
    again = reopened(saved, bundle)
    assert [m.device for m in again.explorer.computed_with] == ["cuda"]
    assert again.reopened.version == napari_vqad.__version__
    fresh = Result(explored, explored.scan, result.mask, "").as_dict()
    assert fresh["study"] is None
    assert [m["device"] for m in fresh["computed"]] == ["cpu"]
    assert {"torch", "napari-vqad", "python"} <= set(fresh["computed"][0]["versions"])


def test_a_word_on_merged_findings_is_saved_beside_theirs(explored, head, bundle, tmp_path):
    words = {
        frozenset([(1, 2, 3)]): Annotation("accepted", "a"),
        frozenset([(4, 5, 6), (1, 2, 3), (7, 8, 9)]): Annotation("rejected", "all"),
        frozenset([(4, 5, 6)]): Annotation("open", "b"),
    }
    save_study(tmp_path / "merged.vqad", explored, head[1], words=words)
    again = open_study(tmp_path / "merged.vqad", bundle=bundle).words
    assert list(again.items()) == list(words.items()), "in the order in which they were said"


def test_another_machine_that_goes_on_is_named_beside_the_first(saved, bundle):
    of_another_machine(saved)
    explorer = reopened(saved, bundle).explorer
    explorer.change(QUICK.model_copy(update={"k": 9.0, "n_restorations": 2}))  # arithmetic
    assert list(explorer.work()) == []
    assert [m.device for m in explorer.computed_with] == ["cuda"]
    explorer.change(QUICK.model_copy(update={"n_restorations": 5}))
    for _ in explorer.work():
        pass
    assert [m.device for m in explorer.computed_with] == ["cuda", "cpu"]
    explorer.load_scan(explorer.scan, open_study(saved, bundle=bundle).mask)
    assert [m.device for m in explorer.computed_with] == ["cpu"]


def with_old_arrays(saved):
    """Give a study the arrays of formats 1 and 2."""
    with zipfile.ZipFile(saved) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    arrays = load(parts["arrays.safetensors"])
    n = {stage: arrays.pop(f"count/{stage}") for stage in ("nll", "restoration", "decode")}
    old = {"has_nll": n["nll"] > 0, "n_restored": n["restoration"], "n_difference": n["decode"]}
    for name in ("codes", "nll"):
        known = arrays.pop(f"nll/{name}")
        old[name] = np.zeros((len(n["nll"]), *known.shape[1:]), known.dtype)
        old[name][old["has_nll"]] = known
    old |= {"restored": arrays.pop("restoration/codes"), "difference": arrays.pop("decode/difference")}
    parts["arrays.safetensors"] = save(arrays | old)
    with zipfile.ZipFile(saved, "w") as archive:
        for name, raw in parts.items():
            archive.writestr(name, raw)


def test_a_study_of_the_first_format_does_not_say_with_what(saved, review, bundle):
    top = [int(i) for i in review.found[1].top]
    with_old_arrays(saved)
    edit(saved, format=1, made=None, words=[[top, {"verdict": "rejected", "note": "vessel"}]])
    result = reopened(saved, bundle)
    assert result.as_dict()["computed"] == [{"device": None, "versions": {}}]
    html = report_html(result.explorer, result.as_dict(), result.review)
    assert '<th scope="row">Computed with</th><td>not recorded</td>' in html
    review.restore(open_study(saved, bundle=bundle).words)
    assert [review.annotation(f) for f in review.found[:2]] == [Annotation(), Annotation("rejected", "vessel")]


def test_it_goes_on_from_there(saved, explored, bundle):
    again = open_study(saved, bundle=bundle).explorer
    for explorer in (again, explored):
        explorer.change(QUICK.model_copy(update={"n_restorations": 5}))
        for _ in explorer.work():
            pass
    for j in range(5):
        np.testing.assert_array_equal(
            again.results("restoration", "codes", j), explored.results("restoration", "codes", j)
        )


def test_an_analysis_that_was_stopped_goes_on(bundle, scan, head, explored, tmp_path):
    explorer = Explorer(bundle, QUICK)
    explorer.load_scan(read_scan(scan), head[1])
    for _ in explorer.work():
        if explorer.ready("restoration").sum() > 3:
            explorer.cancel()
    save_study(tmp_path / "part.vqad", explorer, head[1])
    again = open_study(tmp_path / "part.vqad", bundle=bundle).explorer
    assert again.ready("restoration").sum() == explorer.ready("restoration").sum() < len(explorer.grid)
    for _ in again.work():
        pass
    np.testing.assert_array_equal(again.results("restoration", "codes", 2), explored.results("restoration", "codes", 2))


def test_a_grid_in_the_brains_own_grey_values(explored, head, bundle, tmp_path):
    """Gain by place, as an aligned scan has it, comes back, too."""
    grid = explored.grid
    gain = np.linspace(0.8, 1.2, grid.slices.size, dtype=np.float32).reshape(grid.stack_to_ras(grid.slices).shape)
    other = replace(grid, intensity=replace(grid.intensity, gain=gain), note="Aligned.", outside=0.25)
    explored.resume(explored.scan, np.ones(explored.scan.voxels.shape, bool), other, explored.stages())
    save_study(tmp_path / "gain.vqad", explored, head[1])
    again = open_study(tmp_path / "gain.vqad", bundle=bundle).explorer.grid
    z = grid.stack_to_ras(grid.slices)
    np.testing.assert_array_equal(again.intensity.inverse(z), other.intensity.inverse(z))
    np.testing.assert_array_equal(again.to_scan(grid.slices), other.to_scan(grid.slices))
    np.testing.assert_array_equal(again.to_display(grid.slices), other.to_display(grid.slices))
    assert again.remarks == other.remarks


def test_a_full_disk_leaves_the_study_of_before(saved, explored, head, monkeypatch):
    before = saved.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(InputError, match=r"reading\.vqad cannot be written: no space left on device"):
        save_study(saved, explored, head[1])
    assert saved.read_bytes() == before
    assert not [f for f in os.listdir(saved.parent) if f.startswith(".vqad")]


def test_a_clip_is_no_study(tiny_clips, tmp_path):
    from napari_vqad.io.clips import Clip

    explorer = Explorer(Bundle.load(tiny_clips, "cpu"))
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 40), dtype=np.uint8)
    volume = Clip("walk", frames).volume()
    explorer.load_scan(volume, np.ones(volume.voxels.shape, bool))
    with pytest.raises(InputError, match="clips are not saved"):
        save_study(tmp_path / "walk.vqad", explorer, np.ones(volume.voxels.shape, bool))
