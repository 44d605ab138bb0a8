"""The columns of the list of findings: where each one is, and its scores in the units of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Annotation

MANY = 100  # with more findings than this, the threshold is too low to be useful

# Title, the value of a finding to show, its format, the tooltip.
Column = tuple[str, Callable[[Finding, Annotation], Any], str, str]
PLACE: tuple[Column, ...] = (
    ("No.", lambda f, w: f.number, "{}", "Findings are numbered by the sum of their scores, the highest first."),
    ("Side", lambda f, w: f.side, "{}", "The patient's side."),
    (
        "Centre",
        lambda f, w: f.where,
        "{}",
        "Its centre: mm to the right (R) or left (L) of the midline; A, P, S and I are scanner coordinates. Hold the "
        "mouse over a centre for all three in scanner coordinates. Sorted from foot to head.",
    ),
    (
        "Slices",
        lambda f, w: f"{f.numbers[0]}–{f.numbers[1]}",
        "{}",
        "Its first and last slice, numbered as on the viewer's slider.",
    ),
    (
        "Extent",
        lambda f, w: f.extent,
        "{}",
        "Its lowest and highest position along S, in scanner mm. Sorted from the lowest.",
    ),
    ("mL", lambda f, w: f.ml, "{:.2f}", "Volume of the finding."),
)


def columns_of(found: list[Finding]) -> tuple[Column, ...]:
    """The columns for the findings of one scan: location, and scores in the model's units."""
    unit, evidence = (found[0].unit, found[0].evidence) if found else ("SD", ())
    scores: list[Column] = [
        (
            f"Peak ({unit})",
            lambda f, w: f.peak,
            "{:.1f}",
            "Highest pixel score, in the unit of the view Score.",
        ),
        (f"Mean ({unit})", lambda f, w: f.mean, "{:.1f}", "Mean pixel score, in the unit of the view Score."),
    ]
    for i, spec in enumerate(evidence):
        title, tip = f"{spec.title} peak ({spec.unit})", f"Highest {spec.title} in the finding, as the map shows it."
        scores.append((title, lambda f, w, i=i: f.evidence[i].peak, "{:.1f}", tip))  # type: ignore[misc]
    return (*PLACE, *scores)
