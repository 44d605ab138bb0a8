"""The report: all that a reader needs, in one file that is inert, offline and whole."""

import base64
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.display.orientation import upright
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export import report
from napari_vqad.export.figures import draw_finding
from napari_vqad.export.report import NOTICE, report_html, write_report
from napari_vqad.findings.review import Review
from napari_vqad.imaging.slice_numbers import span
from napari_vqad.scoring import Result

WHEN = datetime(2026, 11, 24, 16, 5, tzinfo=UTC)
EVIL = '<script>alert("x")</script> & <img src=http://example.org/a.png>'


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of each element of a kind."""

    VOID = ("meta", "img", "br")

    def __init__(self, html):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(html)
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
            self.texts.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.texts:
            self.texts[-1][2] += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def text(self):
        return " ".join(t for tag, _, t in self.texts if tag != "style")


@pytest.fixture(scope="module")
def result(tiny_bundle):
    """A small head with bright blocks, the largest on the patient's right, analysed."""
    from napari_vqad.imaging.volume import Volume

    r, a, s = np.meshgrid(*(np.arange(n) - n / 2 for n in (30, 32, 28)), indexing="ij")
    mask = (r / 12) ** 2 + (a / 14) ** 2 + (s / 11) ** 2 < 1
    voxels = np.where(mask, 600 + 80 * np.sin(r / 2), 0).astype(np.float32)
    voxels[20:24, 18:22, 12:16] = 1500
    voxels[7:10, 8:11, 8:11] = voxels[8:11, 20:23, 17:20] = 1400
    affine = np.array([[4.0, 0, 0, -60], [0, 4, 0, -64], [0, 0, 4, -56], [0, 0, 0, 1]])
    volume = Volume.from_array(voxels, affine, name="Doe <b>Jane</b>", notes=("12 voxels were <not> numbers.",))
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=2, lambda_p="p20", flag_voxels=0.9))
    explorer.load_scan(volume, mask)
    for _ in explorer.work():
        pass
    done = Result(explorer, volume, mask, "Brain mask as given.")
    found = done.findings()
    assert len(found) >= 3, "the head must have findings for these tests"
    done.review.set_verdict(found[0], "rejected")
    done.review.set_verdict(found[1], "accepted")
    done.review.set_note(found[1], EVIL)
    return done


@pytest.fixture(scope="module")
def html(result):
    return report_html(result.explorer, result.as_dict(), result.review, WHEN)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_it_says_what_was_found_and_how(result, page):
    text, explorer, numbers = page.text(), result.explorer, result.as_dict()
    limits = explorer.thresholds()
    kept = sum(f.ml for f in result.findings() if result.review.annotation(f).verdict != "rejected")
    for words in (
        "Anomaly report: Doe <b>Jane</b>",
        "24 November 2026, 16:05 UTC",
        NOTICE,
        f"{int(explorer.flagged_slices().sum())} of {explorer.n_slices} slices are flagged",
        f"the volume score is {explorer.volume_score():.0f} nats",
        f"{len(result.findings())} findings, {kept:.1f} mL in all that are not rejected: 1 accepted",
        f"{limits['lambda_p']:.2f} nats · {numbers['thresholds']['lambda_p']['healthy_percentile']:.2f} % of healthy",
        "(chosen as p20)",
        *(str(field.title) for field in VQSettings.model_fields.values()),
        explorer.bundle.title,
        explorer.bundle.name,
        explorer.bundle.hash,
        f"torch {numbers['computed'][0]['versions']['torch']}",
        "Brain mask as given.",
        "12 voxels were <not> numbers.",
    ):
        assert words in text, words
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("time") == [{"datetime": "2026-11-24T16:05:00+00:00"}]


def test_it_is_inert_and_offline(html, page):
    assert not {"script", "link", "iframe", "object", "a"} & {tag for tag, _ in page.elements}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "href"], tag
    for image in page.all("img"):
        assert image["src"].startswith("data:image/png;base64,")
        assert len(image["alt"]) > 20
    assert "url(" not in html
    assert "@import" not in html
    assert EVIL in page.text(), "the note must be there to be read"


def test_pictures_can_be_read(page):
    for image in page.all("img"):
        raw = base64.b64decode(image["src"].partition(",")[2], validate=True)
        assert raw.startswith(b"\x89PNG")


def test_accepted_come_first_and_rejected_last_and_grey(result, page):
    rows = [attributes["class"] for attributes in page.all("tr") if "class" in attributes]
    assert len(rows) == len(result.findings())
    assert (rows[0], rows[-1]) == ("accepted", "rejected")
    assert rows == sorted(rows, key=("accepted", "open", "rejected").index)
    assert re.search(r"tr\.rejected td \{ color: var\(--faint\)", report.STYLE)


def test_the_outline_is_on_the_patients_right_which_is_left_in_the_picture(result, tmp_path):
    finding = max(result.findings(), key=lambda f: f.peak)
    assert finding.side == "right"
    (tmp_path / "a.png").write_bytes(draw_finding(result.explorer, finding))
    picture = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    scan = picture[20:, : picture.shape[1] // 4]  # the first of four, without its title
    orange = np.abs(scan - [1.0, 0.62, 0.11]).max(-1) < 0.12
    columns = np.nonzero(orange)[1]
    assert len(columns) > 10, "no outline"
    assert columns.max() < scan.shape[1] / 2
    # As high as it lies: the share of the picture above it.
    slice_ = int(finding.piece.medoid[0])
    box = finding.piece.box
    within = np.zeros(result.explorer.grid.slices.shape[1:], bool)
    within[box[1:]] = finding.piece.inside[slice_ - box[0].start]
    above = np.nonzero(upright(within))[0].mean() / within.shape[1]
    assert np.nonzero(orange)[0].mean() / scan.shape[0] == pytest.approx(above, abs=0.06)


def test_nothing_flagged_has_a_report_too(result):
    settings = result.explorer.settings
    result.explorer.change(settings.model_copy(update={"flag_voxels": 1000.0}))
    try:
        page = Page(report_html(result.explorer, result.as_dict(), result.review, WHEN))
    finally:
        result.explorer.change(settings)
    assert "Nothing is flagged." in page.text()
    assert len(page.all("img")) == 1  # the profile


def test_thousands_are_not_all_listed(result, monkeypatch):
    monkeypatch.setattr(report, "ROWS", 1)
    monkeypatch.setattr(report, "PICTURES", 1)
    page = Page(report_html(result.explorer, result.as_dict(), result.review, WHEN))
    n = len(result.findings())
    assert len([a for a in page.all("tr") if "class" in a]) == 1
    assert f"{n - 1} more are left out here: the threshold for voxels may be too low." in page.text()
    assert f"The first 1 of {n} are shown." in page.text()


def test_what_was_stopped_is_said(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=1))
    explorer.load_scan(*head)
    stopped = Result(explorer, *head, "Brain mask as given.")
    page = Page(report_html(explorer, stopped.as_dict(), stopped.review, WHEN))
    assert "Not complete: " in page.text()


def test_whole_or_not_at_all(result, html, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, result.explorer, result.as_dict(), result.review, WHEN)
    assert path.read_text(encoding="utf-8") == html

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(InputError, match=r"report\.html cannot be written: no space left on device"):
        write_report(path, result.explorer, result.as_dict(), result.review)
    assert path.read_text(encoding="utf-8") == html
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match=r"report\.html/within\.html cannot be written: not a directory"):
        write_report(path / "within.html", result.explorer, result.as_dict(), result.review)


def test_slices_that_were_left_out_are_no_healthy_ones(result):
    explorer = Explorer(result.explorer.bundle, result.explorer.settings)
    explorer.load_scan(result.volume, result.mask)
    for _ in explorer.work():
        pass
    whole = explorer.n_slices
    first = explorer.focus
    two = span(explorer.grid, (first, first + 1))
    explorer.change(explorer.settings.model_copy(update={"slices": two}))
    part = Result(explorer, result.volume, result.mask, "As given.")
    assert explorer.n_slices == 2
    assert np.isfinite(explorer.slice_scores()).sum() == 2
    text = Page(report_html(explorer, part.as_dict(), Review(), WHEN)).text()
    assert f"{whole - 2} slices with brain were left out by choice" in text
