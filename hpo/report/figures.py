"""What all plots share: their look, and how they are written.

The colours are those of Okabe and Ito (2008), told apart with any colour vision; every state also
has a mark of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.lazy import lazy
from hpo.records import State

figure = lazy("matplotlib.figure")
pandas = lazy("pandas")
plotly = lazy("plotly.graph_objects")

BEST_COLOUR = "#D55E00"
BAR_COLOUR = "#0072B2"
GREY = "#555555"
LIGHT = "#DDDDDD"


@dataclass(frozen=True, slots=True)
class Style:
    label: str
    colour: str
    marker: str  # in matplotlib's terms
    symbol: str  # in plotly's


STYLES = {
    State.COMPLETE: Style("complete", "#0072B2", "o", "circle"),
    State.PRUNED: Style("pruned", "#999999", "v", "triangle-down"),
    State.DIVERGED: Style("diverged", "#CC79A7", "x", "x-thin-open"),
    State.OUT_OF_MEMORY: Style("out of memory", "#E69F00", "+", "cross-thin-open"),
    State.FAILED: Style("failed", "#000000", "1", "y-down-open"),
}


def axes_of(height: float) -> tuple[Any, Any]:
    """A new figure for print, `height` in inches, and its axes."""
    page = figure.Figure(figsize=(8, height), dpi=150, layout="constrained")
    return page, page.add_subplot()


def scale(values: Sequence[float]) -> str:
    """Logarithmic where values span more than two decades: one bad trial would flatten the rest."""
    positive = len(values) > 1 and min(values) > 0
    return "log" if positive and max(values) / min(values) > 100 else "linear"


def plain(axes: Any, grid: str = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def web_figure(x_title: str, y_title: str) -> Any:
    # plotly uses pandas if it finds it loaded, even half loaded by another thread (the publisher's
    # MLflow): waiting for the whole of it here avoids that.
    assert pandas.Series
    web = plotly.Figure()
    web.update_layout(
        template="plotly_white",
        xaxis_title=x_title,
        yaxis_title=y_title,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
    )
    web.update_yaxes(automargin=True)
    return web


def write(page: Any, web: Any, out_stem: Path) -> list[Path]:
    out_stem.parent.mkdir(parents=True, exist_ok=True)
    png, html = (
        out_stem.with_name(out_stem.name + ".png"),
        out_stem.with_name(out_stem.name + ".html"),
    )
    page.savefig(png)
    # Each page holds all of plotly.js (4.8 MB): MLflow shows a page in a frame that cannot load
    # files beside it, and a network may be missing.
    web.write_html(html, include_plotlyjs=True)
    return [png, html]
