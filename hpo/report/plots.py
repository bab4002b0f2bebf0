"""Plots of a study, each as PNG and as HTML that works offline.

The colours are those of Okabe and Ito (2008), told apart with any colour vision; every state also
has a mark of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo.lazy import lazy
from hpo.records import Objective, State, TrialRecord
from hpo.report.summary import best_so_far, digits

figure = lazy("matplotlib.figure")
pandas = lazy("pandas")
plotly = lazy("plotly.graph_objects")

BEST_COLOUR = "#D55E00"
BAR_COLOUR = "#0072B2"
GREY = "#555555"
LIGHT = "#DDDDDD"
MAX_BARS = 15
RIM = 0.02  # of the plot's height, from below


@dataclass(frozen=True, slots=True)
class _Style:
    label: str
    colour: str
    marker: str  # in matplotlib's terms
    symbol: str  # in plotly's


STYLES = {
    State.COMPLETE: _Style("complete", "#0072B2", "o", "circle"),
    State.PRUNED: _Style("pruned", "#999999", "v", "triangle-down"),
    State.DIVERGED: _Style("diverged", "#CC79A7", "x", "x-thin-open"),
    State.OUT_OF_MEMORY: _Style("out of memory", "#E69F00", "+", "cross-thin-open"),
    State.FAILED: _Style("failed", "#000000", "1", "y-down-open"),
}


def optimization_history(
    trials: Sequence[TrialRecord], objective: Objective, out_stem: Path
) -> list[Path]:
    """Values by trial number, and the best so far.

    Trials that ended without a value stand on the rim: at the bottom of the plot.

    Args:
        out_stem: path without suffix; its folder is created.

    Returns:
        The PNG and the HTML written.
    """
    trials = sorted(trials, key=lambda trial: trial.number)
    points = {s: [t for t in trials if t.state is s and t.value is not None] for s in STYLES}
    rim = {s: [t for t in trials if t.state is s and t.value is None] for s in STYLES}
    curve = best_so_far(trials, objective)
    label = f"{objective.metric} ({objective.direction})"

    page = figure.Figure(figsize=(8, 4.5), dpi=150, layout="constrained")
    axes = page.add_subplot()
    for state, style in STYLES.items():
        shown, off = points[state], rim[state]
        size = {"s": 28, "color": style.colour, "marker": style.marker, "linewidths": 1.2}
        if shown:
            axes.scatter(
                [t.number for t in shown],
                [t.value for t in shown],
                label=f"{style.label} ({len(shown)})",
                **size,
            )
        if off:
            axes.scatter(
                [t.number for t in off],
                [RIM] * len(off),
                transform=axes.get_xaxis_transform(),
                label=f"{style.label}, no value ({len(off)})",
                **size,
            )
    if curve:
        axes.step(
            [p.number for p in curve],
            [p.value for p in curve],
            where="post",
            color=BEST_COLOUR,
            linewidth=1.8,
            label=f"best so far ({digits(curve[-1].value)})",
        )
    scale = _scale([t.value for group in points.values() for t in group if t.value is not None])
    axes.set_yscale(scale)
    axes.margins(y=0.12)
    axes.set_xlabel("trial")
    axes.set_ylabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _plain(axes)
    if axes.get_legend_handles_labels()[0]:
        page.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)

    web = _web_figure("trial", label)
    web.update_xaxes(showgrid=False)
    web.update_yaxes(type=scale)
    for state, style in STYLES.items():
        on, off = points[state], rim[state]
        for shown, name, y, axis in (
            (on, style.label, [t.value for t in on], "y"),
            (off, f"{style.label}, no value", [RIM] * len(off), "y2"),
        ):
            if shown:
                web.add_scatter(
                    x=[t.number for t in shown],
                    y=y,
                    yaxis=axis,
                    name=f"{name} ({len(shown)})",
                    mode="markers",
                    marker={"color": style.colour, "symbol": style.symbol, "size": 8}
                    | {"line": {"width": 2 if "open" in style.symbol else 0}},
                    text=[_hover(trial) for trial in shown],
                    hovertemplate="%{text}<extra></extra>",
                )
    if curve:
        web.add_scatter(
            x=[p.number for p in curve],
            y=[p.value for p in curve],
            name=f"best so far ({digits(curve[-1].value)})",
            mode="lines",
            line={"shape": "hv", "color": BEST_COLOUR},
        )
    web.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    return _write(page, web, out_stem)


def parameter_importance(importances: Mapping[str, float], out_stem: Path) -> list[Path]:
    """Bars of how much of the objective's spread each parameter explains, the largest on top.

    Args:
        importances: by parameter name, each in [0, 1]; of more than 15 the largest are shown.
        out_stem: path without suffix; its folder is created.

    Returns:
        The PNG and the HTML written.
    """
    largest = sorted(importances.items(), key=lambda item: (-item[1], item[0]))[:MAX_BARS]
    names, values = [name for name, _ in largest], [value for _, value in largest]
    label = "importance"

    page = figure.Figure(figsize=(8, 1.2 + 0.36 * len(largest)), dpi=150, layout="constrained")
    axes = page.add_subplot()
    bars = axes.barh(range(len(names)), values, color=BAR_COLOUR, height=0.65)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=4, fontsize=9, color=GREY)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    _plain(axes, grid="x")

    web = _web_figure(label, "")
    web.add_bar(
        x=values,
        y=names,
        orientation="h",
        marker_color=BAR_COLOUR,
        texttemplate="%{x:.2f}",
        textposition="outside",
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    web.update_yaxes(autorange="reversed", showgrid=False)
    return _write(page, web, out_stem)


def _scale(values: Sequence[float]) -> str:
    """Logarithmic where values span more than two decades: one bad trial would flatten the rest."""
    positive = len(values) > 1 and min(values) > 0
    return "log" if positive and max(values) / min(values) > 100 else "linear"


def _hover(trial: TrialRecord) -> str:
    value = "no value" if trial.value is None else digits(trial.value)
    lines = [f"<b>trial {trial.number}</b>: {value}"]
    lines += [f"{name} = {digits(param)}" for name, param in trial.params.items()]
    return "<br>".join([*lines, trial.reason] if trial.reason else lines)


def _plain(axes: Any, grid: str = "y") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=LIGHT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def _web_figure(x_title: str, y_title: str) -> Any:
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


def _write(page: Any, web: Any, out_stem: Path) -> list[Path]:
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
