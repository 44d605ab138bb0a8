"""The MNIST table as Markdown and CSV: AUROC of each score and novel digit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from napari_vqad.evaluate.metrics import in_table
from napari_vqad.evaluate.mnist import RIVALS, Auroc, DigitResult, auroc
from napari_vqad.export.tables import table_csv
from napari_vqad.scores.novelty.table import SCORES

NORMAL_95 = 1.96  # standard errors on either side in a 95 % interval
TITLES = {name: (score.title, score.symbol, score.equation) for name, score in SCORES.items()} | {
    name: (title, "", "") for name, title in RIVALS.items()
}


class Row:
    """AUROC of one score for each novel digit."""

    def __init__(self, name: str, of_digits: Mapping[int, Auroc]) -> None:
        self.name, self.of_digits = name, of_digits
        self.title, self.symbol, self.equation = TITLES[name]
        found = list(of_digits.values())
        self.mean = float(np.mean([a.value for a in found]))
        # The digits have test images and networks of their own; the normal images are in part the same.
        self.worst_error = max(a.error for a in found)
        self.images = max(a.images for a in found)


def rows_of(results: Mapping[int, DigitResult]) -> list[Row]:
    """Make a row of each score, in the order of the paper's equations, then PCA and kernel PCA."""
    return [Row(name, {digit: auroc(r.novel, r.scores[name]) for digit, r in results.items()}) for name in TITLES]


def markdown(rows: Sequence[Row], about: Sequence[str]) -> str:
    """Write the table; the best score of each digit is bold. `about` are sentences above it."""
    digits = list(rows[0].of_digits)
    best = {d: max(row.of_digits[d].value for row in rows) for d in digits}
    head = ["equation", "score", "symbol", *(str(d) for d in digits), "mean", "largest ±", "images"]
    lines = [*about, "", _line(head), "|---" * len(head) + "|"]
    for row in rows:
        cells = [
            f"**{in_table(a.value, 3)}**" if a.value == best[d] else in_table(a.value, 3)
            for d, a in row.of_digits.items()
        ]
        tail = [in_table(row.mean, 3), in_table(NORMAL_95 * row.worst_error, 3), str(row.images)]
        lines.append(_line([row.equation or "–", row.title, row.symbol or "–", *cells, *tail]))
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Row]) -> str:
    """Write one line for each score and digit, with the ends of the 95 % interval."""
    header = ["score", "title", "symbol", "equation", "digit", "auroc", "low", "high", "images"]
    body = []
    for row in rows:
        for digit, a in row.of_digits.items():
            low, high = (float(np.clip(a.value + side * NORMAL_95 * a.error, 0, 1)) for side in (-1, 1))
            body.append([row.name, row.title, row.symbol, row.equation, digit, a.value, low, high, a.images])
    return table_csv(header, body)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
