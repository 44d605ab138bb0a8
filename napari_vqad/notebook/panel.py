"""What the explorer shows in a notebook: the picture, and beside it the controls, the profile and the lists."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path

import ipywidgets as w
import numpy as np

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.library import list_bundles
from napari_vqad.display.colours import heat
from napari_vqad.display.model_groups import BROKEN, fits_scan, grouped
from napari_vqad.display.notice import notice_of
from napari_vqad.display.views import OF_ALL, WHICH_TIP, View, which_in_words
from napari_vqad.notebook.canvas import HEIGHT, PLANES
from napari_vqad.notebook.controls import SettingsPanel
from napari_vqad.notebook.lists import Lists
from napari_vqad.notebook.parts import Browser, Profile

SIDE = "308px"  # the width of the column of controls
NO_WEBGL = (
    "This browser has no WebGL 2, which the three planes need. Here is the slice in view; the patient's right is on "
    "the left of the picture."
)
SIDES_UNKNOWN = (
    "The scan does not say which side is right: the picture has no letters, and R and L have a question mark."
)


class Panel:
    """The widgets. `NotebookExplorer` connects them to the session."""

    def __init__(self, edited: Callable[[str, object], None], go_to: Callable[[int], None]) -> None:
        bar = w.Layout(width="auto")
        self.browser = Browser()
        self.views = w.ToggleButtons(options=["Scan"], style={"button_width": "auto"}, layout=bar)
        self.which = w.Dropdown(options=[(word, n) for n, word in OF_ALL.items()], tooltip=WHICH_TIP)
        self.which.layout = w.Layout(width="130px")
        self.planes = w.Dropdown(options=list(PLANES), tooltip="Which planes to show.", layout=w.Layout(width="112px"))
        self.beside = w.ToggleButton(
            description="Side by side",
            tooltip="Show the scan and the chosen map next to each other; they move together.",
            layout=w.Layout(width="104px"),
        )
        self.legend = w.HTML(layout=w.Layout(height="34px"))  # also when empty: what is below must not move
        self.readout, self.unfinished = w.HTML(), w.HTML()
        self.profile = Profile(go_to)
        self.count = w.HTML()
        self.subject, self.status, self.warning = w.HTML(), w.HTML(), w.HTML()
        self.progress = w.IntProgress(min=0, max=1, layout=w.Layout(width="100%", height="8px", margin="2px 0"))
        self.cancel = w.Button(
            description="Cancel",
            tooltip="Stop. Finished slices are kept.",
            disabled=True,
            layout=w.Layout(width="80px"),
        )
        self.model = w.Dropdown(
            description="Model",
            tooltip="The model of healthy scans that the scan is compared with.",
            style={"description_width": "88px"},
            layout=w.Layout(width="100%"),
        )
        self.opacity = w.FloatSlider(
            value=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            description="Opacity",
            tooltip="Opacity of the map over the scan.",
            style={"description_width": "88px"},
            layout=w.Layout(width="100%"),
        )
        self.settings = SettingsPanel(edited)
        self.canvases = w.HBox([], layout=w.Layout(width="100%", min_height=f"{HEIGHT}px", overflow="hidden"))
        self.still = w.Image(format="png", layout=w.Layout(max_width="100%"))
        self.slice = w.IntSlider(description="Slice", continuous_update=True, layout=w.Layout(width="100%"))
        self.box = w.VBox(layout=w.Layout(width="100%"))
        self.box.add_class("vqad")

    def lay_out(self, lists: Lists) -> None:
        """Put the widgets in their places."""
        bar = w.HBox([self.views, self.which, self.beside, self.planes])
        bar.layout = w.Layout(width="100%", flex_flow="row wrap", align_items="center")
        left = w.VBox(
            [bar, self.canvases, self.readout, self.unfinished, self.legend, self.profile, self.count],
            layout=w.Layout(flex="1 1 auto", width="auto", min_width="0", overflow="hidden"),
        )
        run = w.HBox([self.progress, self.cancel], layout=w.Layout(width="100%", align_items="center"))
        right = w.VBox(
            [self.subject, self.warning, run, self.status, self.model, self.opacity, self.settings.box],
            layout=w.Layout(
                flex=f"0 0 {SIDE}",
                width=SIDE,
                padding="0 8px 0 4px",
                max_height=f"{HEIGHT + 232}px",
                overflow="hidden auto",
            ),
        )
        top = w.HBox([left, right], layout=w.Layout(width="100%", align_items="flex-start"))
        self.foot = w.HTML()
        self.tell_limits(None)
        self.box.children = [self.browser, top, lists.box, self.foot]

    # ---- contents ---------------------------------------------------------------------------------------------------

    def tell_limits(self, bundle: Bundle | None) -> None:
        """Show what the results of a model must not be used for."""
        self.foot.value = f'<span class="vqad-note">{notice_of(bundle)}</span>'

    def offer_views(self, views: list[View], current: str) -> None:
        """Show one button for each view."""
        self.views.options = [view.name for view in views]
        self.views.tooltips = [view.tip for view in views]
        self.views.value = current

    def offer_restorations(self, n: int, there: bool) -> None:
        """Offer the mean of n restorations, their SD, and each of them; hidden if there are none."""
        kept = self.which.value
        choices = [*OF_ALL, *range(1, n + 1)]
        options = [(which_in_words(j), j) for j in choices]
        if tuple(self.which.options) != tuple(options):
            self.which.options = options
            self.which.value = kept if kept in choices else choices[0]
        self.which.layout.display = None if there else "none"

    def offer_models(self, current: Path) -> None:
        """List the models for heads in the order of their families."""
        folders = list_bundles()
        if all(folder.resolve() != current.resolve() for folder in folders):
            folders.append(current)
        options = []
        for family, members in grouped([f for f in folders if fits_scan(f, "head", None)]).items():
            options += [(read_config(f).title, str(f)) for f in members] if family != BROKEN else []
        self.model.options = options
        known = {Path(value).resolve(): value for _, value in options}
        self.model.value = known.get(current.resolve())

    def say(self, words: str) -> None:
        """Show how far the work is."""
        self.status.value = f'<div class="vqad-note">{html.escape(words)}</div>'

    def show_legend(self, ends: tuple[float, float] | None, unit: str, healthy: float | None) -> None:
        """Show the colour bar of the map in view: its scale is the same for every scan."""
        self.legend.value = "" if ends is None else legend_html(ends, unit, healthy)

    def show_state(self, words: str) -> None:
        """Show in amber what is missing in the picture."""
        self.unfinished.value = amber(words)
        self.unfinished.layout.display = None if words else "none"

    def without_webgl(self) -> None:
        """Show a still picture and a slider of slices in place of the canvas."""
        self.canvases.children = [w.VBox([w.HTML(amber(NO_WEBGL)), self.slice, self.still])]
        for widget in (self.planes, self.beside, self.opacity):
            widget.disabled = True


def amber(words: str) -> str:
    """A warning as HTML; empty without words."""
    return f'<div class="vqad-amber">{html.escape(words)}</div>' if words else ""


def legend_html(ends: tuple[float, float], unit: str, healthy: float | None) -> str:
    """The colour bar as HTML, with its ends, its unit and a mark at the healthy 99th percentile."""
    (low, high), colours = ends, heat()
    stops = []
    for at in np.linspace(0, 1, 9):
        r, g, b, a = colours(at)
        # Blended over dark grey, as the canvas blends the map over tissue.
        rgb = ",".join(str(round(255 * (0.2 * (1 - a) + c * a))) for c in (r, g, b))
        stops.append(f"rgb({rgb}) {100 * at:.0f}%")
    mark = ""
    if healthy is not None:
        at = 100 * min((healthy - low) / (high - low), 1.0)
        mark = (
            f'<div style="position:absolute;left:{at:.1f}%;top:-2px;width:2px;height:15px;'
            'background:currentColor"></div>'
            f'<div style="position:absolute;left:clamp(60px,{at:.1f}%,70%);top:13px;transform:translateX(-50%)">'
            "99 % of healthy</div>"
        )
    known = "" if healthy is None else " 99 % of healthy values lie left of the mark."
    tip = html.escape(f"{low:.2f} to {high:.2f} {unit}, the same for every scan.{known}")
    return (
        f'<div class="vqad-note" style="position:relative;height:30px;margin:2px 4px" title="{tip}">'
        f'<div style="height:10px;border-radius:2px;background:linear-gradient(to right,{",".join(stops)})"></div>'
        f'<div style="position:absolute;left:0;top:13px">{f"{low:.1f}" if low else "0"}</div>{mark}'
        f'<div style="position:absolute;right:0;top:13px">{high:.1f} {html.escape(unit)}</div></div>'
    )
