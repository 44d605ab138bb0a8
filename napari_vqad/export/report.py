"""The report on a scan: findings, slices, settings and model, in one HTML file that opens offline and prints on A4.

The HTML has no scripts or external resources; pictures are embedded. All text from outside is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from html import escape as escape_html
from pathlib import Path
from typing import Any

import numpy as np

from napari_vqad.display import slice_scores
from napari_vqad.display.columns import columns_of
from napari_vqad.display.notice import NOTICE, notice_of
from napari_vqad.display.scales import score_unit, unit_and_healthy
from napari_vqad.display.thresholds import rate_in_words
from napari_vqad.engine.completeness import incomplete, missing_slices
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.provenance import Saved
from napari_vqad.export.figures import SHOWN, draw_finding, draw_profile, draw_scales
from napari_vqad.export.result_schema import ResultDict
from napari_vqad.files.atomic import write_text
from napari_vqad.findings.findings import Finding, findings
from napari_vqad.findings.review import Review, Verdict
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.text import printable

PICTURES = 12  # findings with a picture
ROWS = 200  # findings in the table; if there are more, the threshold is too low to be useful
ORDER: tuple[Verdict, ...] = ("accepted", "open", "rejected")  # the reader's accepted findings come first
TICKS = {"accepted": "✓ accepted", "open": "open", "rejected": "✗ rejected"}

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #16161a; --faint: #5b5b64; --line: #c9c9d0; --mark: #8a4b00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17171b; --ink: #e8e8ea; --faint: #a2a2ab; --line: #3d3d45; --mark: #ffb454; } }
@page { size: A4; margin: 14mm; }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.15em; margin: 1.6em 0 .5em; }
.notice { color: var(--mark); font-weight: 600; } .faint { color: var(--faint); }
table { border-collapse: collapse; width: 100%; font-size: .88em; }
th, td { text-align: left; vertical-align: top; padding: .25em .5em; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; } .findings td { white-space: nowrap; }
.findings td:last-child { white-space: normal; min-width: 9em; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; } tr.rejected td { color: var(--faint); } tr.accepted .verdict { font-weight: 700; }
figure { margin: .9em 0; break-inside: avoid; } figure img { width: 100%; max-width: 792px; height: auto;
  print-color-adjust: exact; } figcaption { font-size: .9em; } figure.rejected img { opacity: .55; }
th[scope=row] { font-weight: 400; color: var(--faint); width: 32%; }
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --faint: #55555e; --line: #b5b5bd; --mark: #6b3a00; }
  body { font-size: 9pt; max-width: none; padding: 0; } h2 { break-after: avoid; }
  td, th { padding: .2em .3em; } .findings { font-size: 7.5pt; } }
"""


def write_report(
    path: str | Path, explorer: Explorer, numbers: ResultDict, review: Review, when: datetime | None = None
) -> None:
    """Write the report atomically.

    Args:
        path: the HTML file.
        explorer: holds the maps of a head.
        numbers: content of result.json (`scoring.Result.as_dict`).
        review: the reader's verdicts and notes.
        when: date and time of the report; by default now.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(Path(path), report_html(explorer, numbers, review, when))


def report_html(explorer: Explorer, numbers: ResultDict, review: Review, when: datetime | None = None) -> str:
    """Return the report as HTML; arguments as in `write_report`."""
    volume = explorer.scan
    when = when or datetime.now().astimezone()
    found = sorted(findings(explorer), key=lambda f: (ORDER.index(review.annotation(f).verdict), f.number))
    title = f"Anomaly report: {volume.name}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="faint"><time datetime="{when.isoformat()}">{when:%d %B %Y, %H:%M %Z}</time> · {escape(numbers["scan"])}</p>
<p class="notice">{notice_of(explorer.bundle)}</p>
</header>
<main>
<h2>Summary</h2>
{_summary(explorer, found, review, [*numbers["notes"], *explorer.grid.remarks])}
<h2>Findings</h2>
{_findings(explorer, found, review)}
<h2>Slices</h2>
{_slices(explorer)}
<h2>Settings</h2>
{_pairs(_settings(explorer, numbers))}
<h2>Model</h2>
{_pairs(_model(explorer))}
<h2>How it was made</h2>
{_pairs(_made(explorer, numbers))}
</main>
<footer><p class="notice">{NOTICE}</p></footer>
</body>
</html>
"""


# ---- results --------------------------------------------------------------------------------------------------------


def _summary(explorer: Explorer, found: list[Finding], review: Review, remarks: Iterable[str]) -> str:
    verdicts = [review.annotation(f).verdict for f in found]
    said = ", ".join(f"{verdicts.count(v)} {v}" for v in ORDER)
    kept = sum(f.ml for f, verdict in zip(found, verdicts, strict=True) if verdict != "rejected")
    lines = [
        f"{int(explorer.flagged_slices().sum())} of {explorer.n_slices} slices are flagged"
        f"{slice_scores.volume_score(explorer)}.",
        f"{len(found)} {'finding' if len(found) == 1 else 'findings'}, {kept:.1f} mL in all"
        + (" that are not rejected" if "rejected" in verdicts else "")
        + (f": {said}." if found else "."),
    ]
    if left := int(explorer.grid.mask.any((1, 2)).sum()) - explorer.n_slices:
        lines.append(f"{left} slices with brain were left out by choice: nothing is said of them.")
    if words := incomplete(explorer):
        lines.insert(0, words)
    lines.insert(0, explorer.fitness().verdict)
    lines += remarks  # such as that the patient's side is unknown; must precede the findings
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _findings(explorer: Explorer, found: list[Finding], review: Review) -> str:
    if not found:
        return "<p>Nothing is flagged.</p>"
    unit, limit, short = score_unit(explorer), explorer.thresholds()["flag_voxels"], found[0].unit
    evidence = tuple(f"{spec.title}, {spec.unit}" for spec in evidence_maps(explorer.maps))
    sizes = ("mL", f"Peak, {short}", f"Mean, {short}", *evidence)
    heads = ("No.", "Side", "Centre", "Slices", "Extent", *sizes, "Verdict", "Note")
    numbers = {"No.", *sizes}  # columns aligned as numbers
    head = "".join(f'<th scope="col"{_n(h in numbers)}>{h}</th>' for h in heads)
    rows = []
    for f in found[:ROWS]:
        word = review.annotation(f)
        place = f"{f.numbers[0]} to {f.numbers[1]}" + ("" if f.final else ", not final")
        values = (f"{f.ml:.2f}", f"{f.peak:.1f}", f"{f.mean:.1f}", *(f"{e.peak:.1f}" for e in f.evidence))
        cells = (f.number, f.side, f.where, place, f.extent, *values)
        row = "".join(f"<td{_n(h in numbers)}>{escape(str(c))}</td>" for h, c in zip(heads, cells, strict=False))
        row += f'<td class="verdict">{TICKS[word.verdict]}</td><td>{escape(word.note)}</td>'
        rows.append(f'<tr class="{word.verdict}">{row}</tr>')
    words = [
        f"Pieces of the brain whose pixel score exceeds {limit:.2f} ({unit}); numbered by the sum of their scores.",
        "Accepted ones come first, rejected last. Centre: mm to the patient's right (R) or left (L) of the midline; "
        "A, P, S and I are scanner coordinates. Slices are numbered as the viewer's slider numbers them. "
        "Extent: from the lowest to the highest voxel, scanner coordinates.",
    ]
    if len(found) > ROWS:
        words.append(f"{len(found) - ROWS} more are left out here: the threshold for voxels may be too low.")
    body = "\n".join(rows)
    table = f'<table class="findings"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    return f'<p class="faint">{escape(" ".join(words))}</p>\n{table}\n{_pictures(explorer, found, review)}'


def _pictures(explorer: Explorer, found: list[Finding], review: Review) -> str:
    columns = columns_of(explorer.maps, SHOWN)
    coloured = [f"{c.title} ({unit_and_healthy(explorer, c.map)[0]})" for c in columns if c.map and c.coloured]
    scales = _image(draw_scales(explorer), f"Colours of {' and '.join(coloured)}: low dark, high yellow.")
    beside = ", ".join(column.title for column in columns[1:])
    clear = " and ".join(c.title for c in columns if c.role == "evidence")
    more = f" The first {PICTURES} of {len(found)} are shown." if len(found) > PICTURES else ""
    note = (
        f"Each in the slice through its centre, in radiological convention: the patient's right on the left.{more} "
        "Outlined: the finding; dotted: others in that slice."
        + (f" {clear} is clear where three of four healthy values lie." if clear else "")
    )
    figures = [f'<figure>{scales}<figcaption class="faint">{escape(note)}</figcaption></figure>']
    number_of = numbers(explorer.grid)
    for f in found[:PICTURES]:
        word = review.annotation(f)
        index = int(number_of[f.piece.medoid[0]])
        alt = f"Finding {f.number}, {f.side}, {f.where}: scan with its outline, {beside}."
        text = f"{f.side}, {f.where}, {f.ml:.2f} mL, peak {f.peak:.1f} {f.unit}; slice {index}; {TICKS[word.verdict]}"
        note = f" <q>{escape(word.note)}</q>" if word.note else ""
        caption = f"<strong>{f.number}</strong> {escape(text)}{note}"
        picture = _image(draw_finding(explorer, f), alt)
        figures.append(f'<figure class="{word.verdict}"><figcaption>{caption}</figcaption>{picture}</figure>')
    return "\n".join(figures)


def _slices(explorer: Explorer) -> str:
    grid, scores, limit = explorer.grid, explorer.slice_scores(), explorer.thresholds()
    flagged, number_of = explorer.flagged_slices(), numbers(grid)
    ranked = np.argsort(-np.nan_to_num(scores, nan=-1.0), kind="stable")[: min(5, int(flagged.sum()))]
    highest = "; ".join(
        f"slice {number_of[i]}, {grid.slice_label(i)}: {slice_scores.value(explorer, scores[i])}" for i in ranked
    )
    highest += f" (mm{grid.axis_note})" if highest and grid.oblique else ""
    words = (
        f"{slice_scores.explained(explorer)} "
        f"Flagged above {slice_scores.value(explorer, limit['flag_slices'])} (hatched)"
        + (f"; the highest, {highest}." if highest else ".")
    )
    if len(missing := missing_slices(explorer)):
        words += f" Cross-hatched: {len(missing)} slices that are not final."
    count = f"{int(flagged.sum())} of {explorer.n_slices} above the threshold (dashed line)"
    alt = f"Bars: {slice_scores.title(explorer)}, {count}."
    return f"<figure>{_image(draw_profile(explorer), alt)}<figcaption>{escape(words)}</figcaption></figure>"


# ---- method ---------------------------------------------------------------------------------------------------------


def _settings(explorer: Explorer, numbers: ResultDict) -> Iterable[tuple[str, str]]:
    """List the settings by label; thresholds in their unit and as a healthy percentile."""
    limits: Mapping[str, Any] = numbers["thresholds"]
    for name, field in explorer.detector.Settings.model_fields.items():
        value: Any = getattr(explorer.settings, name)
        text = "yes" if value is True else "no" if value is False else "all" if value is None else str(value)
        if isinstance(value, tuple):
            text = f"{value[0]} to {value[1]}"
        if name in limits:
            limit = limits[name]
            unit = score_unit(explorer) if name == "flag_voxels" else limit["unit"]
            chosen = f" (chosen as {rate_in_words(value)})" if isinstance(value, str) else ""
            text = f"{limit['value']:.2f} {unit} · {limit['healthy_percentile']:.2f} % of healthy are lower{chosen}"
        yield field.title or name, text


def _model(explorer: Explorer) -> Iterable[tuple[str, str]]:
    bundle = explorer.bundle
    yield "Model", bundle.title
    yield "Folder", bundle.name
    yield "SHA-256 of its files", bundle.hash
    yield "Calibrated on", f"{bundle.calibration.n_scans} healthy scans, {bundle.calibration.n_slices} slices"


def _made(explorer: Explorer, numbers: ResultDict) -> Iterable[tuple[str, str]]:
    yield "Scan", numbers["scan"]
    yield "Brain mask", numbers["mask"]
    for made in explorer.computed_with:
        yield "Computed with", str(made)
    if saved := numbers["study"]:
        yield "Study saved", str(Saved(datetime.fromisoformat(saved["saved"]), saved["napari-vqad"]))
    yield "Report written with", f"napari-vqad {numbers['written']['napari-vqad']}"


# ---- HTML -----------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Make text from outside safe in HTML: one line, no invisible characters, no markup."""
    return escape_html(printable(text))


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "\n".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>' for k, v in pairs)
    return f"<table><tbody>\n{rows}\n</tbody></table>"


def _image(png: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{b64encode(png).decode("ascii")}">'


def _n(number: bool) -> str:
    return ' class="n"' if number else ""
