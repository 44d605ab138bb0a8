"""A study saved and opened again: the same maps and findings without any network, and nothing that is not its own."""

import json
import os
import shutil
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save

import napari_vqad
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export import study
from napari_vqad.export.report import report_html
from napari_vqad.export.study import find_scan, open_study, save_study
from napari_vqad.files import limits
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Annotation, Review
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.scoring import Result

QUICK = Settings(n_restorations=3, lambda_p="p20", lambda_s=2.0, pooling="none", min_volume_ml=0.0)


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


def edit(path, **changes):
    """Change the header of a study; None takes a part of it out."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(parts["study.json"])
    for name, value in changes.items():
        part, _, key = name.partition("__")
        if value is None:
            del header[name]
        elif key:
            header[part][key] = value
        else:
            header[part] = value
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("study.json", json.dumps(header))
        archive.writestr("arrays.safetensors", parts["arrays.safetensors"])


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


def test_moved_together_with_its_scan(saved, scan, bundle, tmp_path):
    assert find_scan(saved) == scan
    elsewhere = tmp_path / "usb"
    shutil.copytree(scan.parent, elsewhere / "scans")
    shutil.move(saved, elsewhere / saved.name)
    scan.unlink()
    assert open_study(elsewhere / saved.name, bundle=bundle).volume.path == elsewhere / "scans" / "head.nii.gz"


def test_a_series_of_dicom_comes_back_and_its_patient_is_not_in_the_file(make_series, head, bundle, tmp_path):
    volume, mask = head
    folder = make_series(tmp_path / "series", volume.voxels.clip(0).astype(np.uint16), volume.affine)
    explorer = Explorer(bundle, QUICK)
    explorer.load_scan(load_scan(folder), mask)
    save_study(tmp_path / "series.vqad", explorer, mask)
    again = open_study(tmp_path / "series.vqad", bundle=bundle)
    np.testing.assert_array_equal(again.volume.voxels, explorer.scan.voxels)
    with zipfile.ZipFile(tmp_path / "series.vqad") as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert b"t1 mprage" in content
    assert b"Doe" not in content
    assert b"P17" not in content


def test_a_scan_that_moved_is_asked_for(saved, scan, bundle, tmp_path):
    moved = scan.rename(tmp_path / "renamed.nii.gz")
    assert find_scan(saved) is None
    with pytest.raises(InputError, match=r"reading\.vqad, .*head\.nii\.gz, is not there"):
        open_study(saved, bundle=bundle)
    assert open_study(saved, moved, bundle=bundle).volume.path == moved
    at_hand = read_scan(moved)
    louder = replace(at_hand, voxels=at_hand.voxels + 1)
    assert find_scan(saved, [louder, at_hand]) is at_hand
    assert open_study(saved, at_hand, bundle=bundle).volume is at_hand


def test_another_scan_is_refused(saved, scan, head, bundle, tmp_path):
    volume, _ = head
    voxels = volume.voxels.copy()
    voxels[15, 15, 15] += 1
    write_map(tmp_path / "other.nii.gz", voxels, volume)
    shifted = replace(volume, affine=volume.affine + np.eye(4, k=3) * 2, file_affine=volume.affine + np.eye(4, k=3) * 2)
    write_map(tmp_path / "shifted.nii.gz", volume.voxels, replace(shifted, header=None))
    for name in ("other.nii.gz", "shifted.nii.gz"):
        with pytest.raises(InputError, match=rf"{name} is not the scan of .*reading\.vqad"):
            open_study(saved, tmp_path / name, bundle=bundle)
    with pytest.raises(InputError, match="loud is not the scan of"):
        open_study(saved, replace(volume, voxels=voxels, name="loud"), bundle=bundle)
    (tmp_path / "other.nii.gz").replace(scan)
    with pytest.raises(InputError, match=r"head\.nii\.gz is not the scan of"):
        open_study(saved, bundle=bundle)


def test_the_model_by_its_weights_and_not_by_its_name(saved, tiny_bundle, tiny_masked, tmp_path):
    edit(saved, bundle__folder="/gone/tiny")
    renamed = tmp_path / "renamed"
    shutil.copytree(tiny_bundle, renamed)
    assert open_study(saved, bundles=[tiny_masked, renamed]).explorer.bundle.folder == renamed
    assert open_study(saved, bundle=renamed).explorer.bundle.folder == renamed
    with pytest.raises(InputError, match=r"the model Tiny \(tiny\), which is not here"):
        open_study(saved)
    for other in (tiny_masked, Bundle.load(tiny_masked, "cpu")):
        with pytest.raises(InputError, match=r"other weights than those of .*tiny-masked"):
            open_study(saved, bundle=other)


def test_a_broken_file_is_refused_whatever_is_missing(saved, bundle):
    whole = saved.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"no study", whole[:-30], whole[:middle], whole[:middle] + b"\0\1\2\3" + whole[middle + 4 :]):
        saved.write_bytes(content)
        with pytest.raises(InputError, match=r"reading\.vqad is (cut short or )?damaged"):
            open_study(saved, bundle=bundle)
    with pytest.raises(InputError, match=r"nowhere\.vqad does not exist"):
        open_study(saved.parent / "nowhere.vqad", bundle=bundle)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 7}, "is a study of format 7; this version of napari-vqad reads formats 1 and 2"),
        ({"which": "x"}, "damaged: it does not fit at 'which'"),
        ({"settings__surprise": 1}, "damaged: it does not fit at 'settings.surprise'"),
        ({"scan__shape": [400, 400, 400]}, "damaged: its arrays"),
        ({"format": [[]]}, "is a study of format"),
        ({"scan__shape": [10**9, 10**9, 10**9]}, "damaged: it does not fit at 'scan.shape.0'"),
        ({"scan__shape": [30000, 30000, 30000]}, "damaged: it does not fit at 'scan'"),
        ({"scan__affine": [[0.0] * 4] * 4}, "damaged: it does not fit at 'scan'"),
        ({"grid__scale": 0}, "damaged: it does not fit at 'grid.scale'"),
        ({"grid__axis": 3}, "damaged: it does not fit at 'grid.axis'"),
        ({"grid__axis": 1}, "damaged: its slices lie along another axis"),
        ({"grid__aligned": True}, "damaged: its slices do not fit Tiny"),
        ({"grid__view": [[0, 0, 0], [0, 4, 4], [9, 9, 9]]}, "damaged: it does not fit at 'grid'"),
    ],
)
def test_another_version_and_what_does_not_fit(saved, bundle, change, sentence):
    edit(saved, **change)
    with pytest.raises(InputError, match=sentence):
        open_study(saved, bundle=bundle)


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


def spoil(path, change):
    """Change the arrays of a study."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    arrays = load(parts["arrays.safetensors"])
    change(arrays)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study.json", parts["study.json"])
        archive.writestr("arrays.safetensors", save({k: np.ascontiguousarray(v) for k, v in arrays.items()}))


ARRAYS = {
    "a code that there is not": (lambda a: a["nll/codes"].__setitem__((0, 0, 0), 16), "codes do not fit Tiny"),
    "a restored code that there is not": (
        lambda a: a["restoration/codes"].__setitem__((0, 0, 0), 999),
        "codes do not fit Tiny",
    ),
    "a code below zero": (lambda a: a["nll/codes"].__setitem__((0, 0, 0), -1), "codes do not fit Tiny"),
    "NaN": (lambda a: a["slices"].__setitem__((0, 0, 0), np.nan), "its arrays"),
    "no brain": (lambda a: a["grid_mask"].fill(0), "its arrays"),
    "one too many": (lambda a: a["count/restoration"].__setitem__(3, 4), "its arrays"),
    "fewer than none": (lambda a: a["count/restoration"].__setitem__(slice(3, 5), (-1, 7)), "its arrays"),
    "another kind": (lambda a: a.update({"nll/nll": a["nll/nll"].astype(np.int32)}), "codes do not fit Tiny"),
    "unknown": (lambda a: a.update(more=np.zeros(3)), "its arrays"),
    "missing": (lambda a: a.pop("position"), "its arrays"),
    "nowhere": (lambda a: a["placement"].fill(0), "its arrays"),
    "a falling curve": (lambda a: a.update(levels=a["levels"][::-1].copy()), "its arrays"),
    "very large": (lambda a: a.update({"decode/difference": np.zeros((10**6, 32, 40), np.float16)}), "its arrays"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_that_do_not_make_a_study_are_refused(saved, bundle, what):
    change, sentence = ARRAYS[what]
    if what == "very large":  # by its header: what it packs is not even looked at
        with zipfile.ZipFile(saved) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        n = int.from_bytes(parts["arrays.safetensors"][:8], "little")
        header = json.loads(parts["arrays.safetensors"][8 : 8 + n])
        header["decode/difference"]["shape"][0] = 10**9
        raw = json.dumps(header).encode()
        with zipfile.ZipFile(saved, "w") as archive:
            archive.writestr("study.json", parts["study.json"])
            archive.writestr("arrays.safetensors", len(raw).to_bytes(8, "little") + raw + bytes(1000))
    else:
        spoil(saved, change)
    with pytest.raises(InputError, match=rf"reading\.vqad is damaged: .*{sentence}"):
        open_study(saved, bundle=bundle)


def test_a_study_that_unpacks_beyond_the_limit_is_refused(saved, bundle, monkeypatch):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as archive:
        size = archive.getinfo("arrays.safetensors").file_size
    monkeypatch.setattr(limits, "STUDY", size - 1)
    with pytest.raises(InputError, match=r"reading\.vqad is too large: its arrays\.safetensors would unpack to"):
        open_study(saved, bundle=bundle)
    with pytest.raises(InputError, match="are read again"):
        save_study(saved, open_explorer(saved, bundle, monkeypatch), np.ones((30, 32, 28), bool))


def open_explorer(path, bundle, monkeypatch):
    monkeypatch.undo()
    explorer = open_study(path, bundle=bundle).explorer
    monkeypatch.setattr(limits, "STUDY", limits.TENSOR_HEADER + 1000)
    return explorer


def test_json_nested_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "deep.vqad", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("study.json", "[" * 100_000)
    assert (tmp_path / "deep.vqad").stat().st_size < 446
    with pytest.raises(InputError, match=r"deep\.vqad is damaged"):
        find_scan(tmp_path / "deep.vqad")


@pytest.mark.parametrize("what", ["study", "scan"])
def test_a_pipe_for_a_study_or_behind_one_is_refused(saved, scan, bundle, what):
    of_pipe = saved if what == "study" else scan
    of_pipe.unlink()
    os.mkfifo(of_pipe)
    with pytest.raises(InputError, match="is not a file but a pipe" if what == "study" else "is not there"):
        open_study(saved, bundle=bundle)


def test_a_study_that_names_a_huge_folder_for_its_scan_is_refused_soon(saved, bundle, tmp_path, monkeypatch):
    (tmp_path / "huge").mkdir()
    for n in range(30):
        (tmp_path / "huge" / f"{n}.dcm").touch()
    edit(saved, scan__path=str(tmp_path / "huge"), scan__relative="huge", scan__series="1.2.3")
    monkeypatch.setattr(limits, "SEARCH_FILES", 20)
    with pytest.raises(InputError, match="huge holds more than 20 files and folders"):
        open_study(saved, bundle=bundle)


def test_a_model_that_is_replaced_while_the_study_opens_is_not_taken(saved, tiny_bundle, tmp_path, monkeypatch):
    mine = shutil.copytree(tiny_bundle, tmp_path / "mine")
    edit(saved, bundle__folder=str(mine))
    hashed = study.hash_of

    def and_replaced(folder):
        found = hashed(folder)
        if folder == mine:
            (mine / "calibration.json").write_bytes((mine / "calibration.json").read_bytes() + b"\n")
        return found

    monkeypatch.setattr(study, "hash_of", and_replaced)
    with pytest.raises(InputError, match="other weights"):
        open_study(saved, bundle=mine)
