"""The lists of findings and of flagged slices, the highest score first; a click goes there."""

from __future__ import annotations

import html
from collections.abc import Callable

import ipywidgets as w

from napari_vqad.display.finding_columns import MANY, columns_of
from napari_vqad.display.flagged_slices import COLUMNS, place_head, rows_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Annotation, Review
from napari_vqad.notebook.parts import Rows

MOST = 200  # rows of a list


class Lists:
    """Both lists, in tabs."""

    def __init__(self, review: Review, go_to: Callable[[Finding], None], go_to_slice: Callable[[int], None]) -> None:
        self._review, self._go_to, self._go_to_slice = review, go_to, go_to_slice
        self._indices: list[int] = []  # the grid index of each listed slice
        self._here = -1
        self.note = w.HTML()
        self.findings, self.slices = Rows(self._on_finding), Rows(self._on_slice)
        self.box = w.Tab(
            [w.VBox([self.note, self.findings]), self.slices],
            titles=("Findings", "Flagged slices"),
            layout=w.Layout(width="100%"),
        )

    def _on_finding(self, row: int) -> None:
        if row < len(self._review.found):
            self._go_to(self._review.found[row])

    def _on_slice(self, row: int) -> None:
        if row < len(self._indices):
            self._go_to_slice(self._indices[row])

    def list_slices(self, explorer: Explorer) -> None:
        """List the flagged slices."""
        rows = rows_of(explorer, [] if self._review.note else self._review.found)[:MOST]
        self._indices = [row[0] for row in rows]
        place = place_head(explorer.grid)
        self.slices.columns = [list(place) if name == "Place" else [name, tip] for name, tip in COLUMNS.items()]
        self.slices.rows = [[str(cell) for cell in row[1:]] for row in rows]
        self.mark(explorer.focus)

    def list_findings(self) -> None:
        """List the findings; grey while they come from earlier settings, with a sentence that says so."""
        review = self._review
        found, columns = review.found[:MOST], columns_of(review.found)
        self.findings.columns = [[title, tip] for title, _, _, tip in columns]
        self.findings.rows = [[form.format(value(f, Annotation())) for _, value, form, _ in columns] for f in found]
        self.findings.stale = bool(review.note)
        words = review.note
        if not words and len(review.found) > MANY:
            words = f"{len(review.found)} findings: the threshold is too low to be useful."
        elif not words and not review.found:
            words = "No findings with these settings."
        self.note.value = f'<span class="vqad-note">{html.escape(words)}</span>' if words else ""
        self.mark(self._here)

    def mark(self, here: int) -> None:
        """Mark the rows of the slice in view, and of the findings that it cuts."""
        self._here = here
        self.slices.here = [row for row, i in enumerate(self._indices) if i == here]
        found = self._review.found[:MOST]
        self.findings.here = [row for row, f in enumerate(found) if f.slices[0] <= here <= f.slices[1]]
