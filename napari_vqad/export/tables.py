"""Findings as rows, with the reader's verdicts and notes, for JSON and CSV; and any other table as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import cast

from napari_vqad.detectors.protocol import MapSpec
from napari_vqad.export.result_schema import FindingDict
from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Review
from napari_vqad.text import printable

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "−")  # Japanese spreadsheets accept full-width signs, too
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
COLUMNS = (
    "number",
    "side",
    "from_midline_mm",
    "r_mm",
    "a_mm",
    "s_mm",
    "first_slice",
    "last_slice",
    "ml",
    "peak",
    "mean",
    "evidence_peaks",
    "final",
    "verdict",
    "note",
)
EVIDENCE = "evidence_peaks"  # values by map; in CSV, one column per map


def as_rows(found: list[Finding], review: Review) -> list[FindingDict]:
    """Convert findings to plain data, one dict per finding; keys as in `COLUMNS`."""
    return [cast(FindingDict, dict(zip(COLUMNS, _values(f, review), strict=True))) for f in found]


def as_csv(found: list[Finding], review: Review, evidence: Sequence[MapSpec]) -> str:
    """Write findings as CSV with a header; `evidence` are the detector's evidence maps, one column each."""
    columns = {spec.name: f"{spec.name}_peak_{spec.unit}" for spec in evidence}
    at = COLUMNS.index(EVIDENCE)
    text = io.StringIO()
    writer = csv.DictWriter(text, (*COLUMNS[:at], *columns.values(), *COLUMNS[at + 1 :]), lineterminator="\n")
    writer.writeheader()
    for row in as_rows(found, review):
        peaks = {columns[name]: value for name, value in row["evidence_peaks"].items()}
        writer.writerow({name: cell(value) for name, value in (dict(row) | peaks).items() if name != EVIDENCE})
    return text.getvalue()


def table_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *([cell(value) for value in row] for row in rows)])
    return text.getvalue()


def cell(value: object) -> object:
    """Make a value safe for spreadsheets: text never starts a formula, numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    # Spreadsheets treat a leading apostrophe as the mark of text; some run formulas even after leading blanks.
    return f"'{text}" if text.lstrip().startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def _values(f: Finding, review: Review) -> tuple:
    word = review.annotation(f)
    sizes = (round(v, 3) for v in (f.ml, f.peak, f.mean))
    peaks = {e.map: round(e.peak, 3) for e in f.evidence}
    mm = (round(v, 1) for v in (f.head[0], *f.centre))
    place = (f.number, f.side, *mm, *f.numbers)
    return (*place, *sizes, peaks, "yes" if f.final else "no", word.verdict, word.note)
