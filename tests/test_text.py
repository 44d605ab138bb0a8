"""Names and notes of any kind reach what is shown and written in a form that harms nobody."""

import csv
import io
import json
import os
import sys
import zipfile

import numpy as np
import pytest

from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.errors import InputError
from napari_vqad.export.report import report_html
from napari_vqad.export.study import save_study
from napari_vqad.export.tables import as_csv, cell
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Annotation, Review
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.scoring import score
from napari_vqad.text import all_printable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain λ_p − 日本 é", "plain λ_p − 日本 é"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\ufffd"),
        ("λ".encode().decode("ascii", "surrogateescape"), "λ"),
        ("lone \ud83d", "lone \ufffd"),
        ("a\tb\nc\r\nd\u2028e", "a b c d e"),
        ("bell\x07 escape\x1b[31m nul\0 c1\x9b del\x7f", "bell\ufffd escape\ufffd[31m nul\ufffd c1\ufffd del\ufffd"),
        ("scan\u202egnp.exe \u2066x\u2069", "scan\ufffdgnp.exe \ufffdx\ufffd"),
        ("שלום \u200f عربي", "שלום \u200f عربي"),
    ],
)
def test_text_in_one_line_of_valid_unicode(text, shown):
    assert printable(text) == shown
    assert all_printable({"k": [text, (1, text)]}) == {"k": [shown, [1, shown]]}
    shown.encode("utf-8")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " ", "＝", "＋", "－", "＠", "−"])
def test_a_cell_never_begins_a_formula(start):
    text = cell(f"{start}=cmd|'/c calc'!A1" if start.isspace() else f"{start}cmd|'/c calc'!A1")
    assert text.startswith("'")


@pytest.mark.parametrize("value", [-3.2, 0, 7, True, None, "-3.2", "+1", "-1e-5", "vessel = big", "a-b", ""])
def test_numbers_and_harmless_text_stay_as_they_are(value):
    assert cell(value) == value


NOTES = ("=HYPERLINK(1)", "@x", "\u202eevil", "one\x1b[2Jtwo", "-3 SD")


@pytest.fixture
def named(tiny_bundle, tmp_path):
    """bytes → an analysis of a scan and mask whose files are called so."""

    def analyse(name: bytes):
        rng, affine = np.random.default_rng(0), np.diag([4.0, 4, 4, 1])
        volume = Volume.from_array(rng.normal(600, 40, (24, 26, 22)).astype(np.float32), affine)
        write_map(tmp_path / "scan.nii.gz", volume.voxels, volume)
        write_map(tmp_path / "mask.nii.gz", np.pad(np.ones((14, 16, 12), np.uint8), 5), volume)
        folder = tmp_path / os.fsdecode(name)
        try:
            folder.mkdir()
        except OSError:
            pytest.skip("this file system knows no such name")
        scan, mask = (
            (tmp_path / f"{n}.nii.gz").rename(folder / os.fsdecode(name + b" " + n.encode() + b".nii.gz"))
            for n in ("scan", "mask")
        )
        settings = Settings(n_restorations=1, method="light", slices=(6, 12), flag_voxels="p50")
        found = score(scan, folder / "out", mask=mask, bundle=tiny_bundle, device="cpu", settings=settings)
        return found, folder / "out"

    return analyse


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is Unicode")
@pytest.mark.parametrize("name", [b"caf\xe9", b"a$b$ \\frac $^", b"x\n\x1b[31m\tz", "日本 \u202ex".encode()])
def test_a_file_of_any_name_is_analysed_and_written_out(name, named, tmp_path, capsys):
    found, out = named(name)
    assert read_scan(out / "nll.nii.gz").voxels.any()
    assert (out / "sheet.png").stat().st_size > 1000
    numbers = json.loads((out / "result.json").read_text(encoding="utf-8"))
    page = (out / "report.html").read_text(encoding="utf-8")
    shown = printable(os.fsdecode(name))
    assert shown in numbers["scan"]
    assert shown in numbers["mask"]
    assert shown in numbers["scan_path"]
    for text in (page.replace("\n", ""), json.dumps(numbers, ensure_ascii=False), found.summary().replace("\n", "")):
        assert printable(text) == text
    save_study(tmp_path / "one.vqad", found.explorer, found.mask, found.mask_note)
    header = zipfile.ZipFile(tmp_path / "one.vqad").read("study.json").decode("utf-8")
    assert shown in json.loads(header)["scan"]["name"]
    found.save(out)  # the same scan again, whatever it is called


def test_notes_do_no_harm_in_table_report_and_numbers(head, tiny_bundle):
    volume, mask = head
    settings = Settings(n_restorations=1, method="light", slices=(8, 12), flag_voxels="p50")
    found = score(volume, mask=mask, bundle=tiny_bundle, device="cpu", settings=settings)
    listed, review = findings(found.explorer), Review()
    assert listed
    for note in NOTES:
        review.set_note(listed[0], note)
        text = as_csv(listed, review, evidence_maps(found.explorer.maps))
        (row, *_), raw = list(csv.DictReader(io.StringIO(text))), printable(note)
        assert row["note"].lstrip("'") == raw
        assert row["note"].startswith("'") == (note[0] in "=@-")
        assert float(row["r_mm"]) == round(listed[0].centre[0], 1)  # a number, negative or not
        page = report_html(found.explorer, {**found.as_dict()}, review)
        for written in (text, page):
            assert not any(c in written for c in "\u202e\x1b")


def test_a_note_of_a_study_is_made_harmless_as_well():
    assert Annotation("open", "a\u202eb\x00").note == "a\ufffdb\ufffd"


def test_a_refusal_is_one_line_whatever_the_file_is_called():
    assert str(InputError("x\n\x1b[31m\udce9.nii is no scan.")) == "x \ufffd[31m\ufffd.nii is no scan."
