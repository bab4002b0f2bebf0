"""Plots of a study, each as PNG and as HTML that works offline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hpo.records import Objectives, State, TrialRecord, best_trials
from hpo.report import figures
from hpo.report.figures import STYLES
from hpo.report.summary import best_so_far
from hpo.report.words import digits, values_line

MAX_BARS = 15
RIM = 0.02  # of the plot's height, from below


def optimization_history(
    trials: Sequence[TrialRecord], objectives: Objectives, out_stem: Path
) -> list[Path]:
    """Values of the first objective by trial number, and the best so far.

    Trials that ended without a value stand on the rim: at the bottom of the plot.

    Args:
        out_stem: path without suffix; its folder is created.

    Returns:
        The PNG and the HTML written.
    """
    objective = objectives[0]
    trials = sorted(trials, key=lambda trial: trial.number)
    points = {s: [t for t in trials if t.state is s and t.value is not None] for s in STYLES}
    rim = {s: [t for t in trials if t.state is s and t.value is None] for s in STYLES}
    curve = best_so_far(trials, objective)
    label = f"{objective.metric} ({objective.direction})"

    page, axes = figures.axes_of(4.5)
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
            color=figures.BEST_COLOUR,
            linewidth=1.8,
            label=f"best so far ({digits(curve[-1].value)})",
        )
    scale = figures.scale(
        [t.value for group in points.values() for t in group if t.value is not None]
    )
    axes.set_yscale(scale)
    axes.margins(y=0.12)
    axes.set_xlabel("trial")
    axes.set_ylabel(label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    figures.plain(axes)
    if axes.get_legend_handles_labels()[0]:
        page.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)

    web = figures.web_figure("trial", label)
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
                    text=[_hover(trial, objectives) for trial in shown],
                    hovertemplate="%{text}<extra></extra>",
                )
    if curve:
        web.add_scatter(
            x=[p.number for p in curve],
            y=[p.value for p in curve],
            name=f"best so far ({digits(curve[-1].value)})",
            mode="lines",
            line={"shape": "hv", "color": figures.BEST_COLOUR},
        )
    web.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    return figures.write(page, web, out_stem)


def pareto_front(
    trials: Sequence[TrialRecord], objectives: Objectives, out_stem: Path
) -> list[Path]:
    """Complete trials by their first two objectives, the Pareto set marked.

    With more than two objectives the set is that of all of them: some of its trials then lie behind
    others in this view.

    Args:
        objectives: at least two.
        out_stem: path without suffix; its folder is created.

    Returns:
        The PNG and the HTML written.
    """
    front = best_trials(trials, objectives)
    numbers = {trial.number for trial in front}
    complete = [t for t in trials if t.state is State.COMPLETE and t.values]
    others = [t for t in complete if t.number not in numbers]
    labels = [f"{o.metric} ({o.direction})" for o in objectives[:2]]
    groups = (
        (others, f"other complete ({len(others)})", figures.LIGHT, 28),
        (front, f"Pareto set ({len(front)})", figures.BEST_COLOUR, 40),
    )

    page, axes = figures.axes_of(5.5)
    web = figures.web_figure(*labels)
    for shown, label, colour, size in groups:
        if not shown:
            continue
        x, y = ([trial.values[axis] for trial in shown] for axis in (0, 1))
        axes.scatter(x, y, s=size, color=colour, edgecolors=figures.GREY, label=label)
        web.add_scatter(
            x=x,
            y=y,
            name=label,
            mode="markers",
            marker={"color": colour, "size": size / 4, "line": {"width": 1}},
            text=[_hover(trial, objectives) for trial in shown],
            hovertemplate="%{text}<extra></extra>",
        )
    scales = [figures.scale([t.values[axis] for t in complete]) for axis in (0, 1)]
    axes.set(xscale=scales[0], yscale=scales[1], xlabel=labels[0], ylabel=labels[1])
    axes.margins(0.08)
    figures.plain(axes, grid="both")
    if complete:
        page.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=9)
    web.update_xaxes(type=scales[0])
    web.update_yaxes(type=scales[1])
    return figures.write(page, web, out_stem)


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

    page, axes = figures.axes_of(1.2 + 0.36 * len(largest))
    bars = axes.barh(range(len(names)), values, color=figures.BAR_COLOUR, height=0.65)
    axes.bar_label(
        bars, [f"{value:.2f}" for value in values], padding=4, fontsize=9, color=figures.GREY
    )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.set_xlabel(label)
    figures.plain(axes, grid="x")

    web = figures.web_figure(label, "")
    web.add_bar(
        x=values,
        y=names,
        orientation="h",
        marker_color=figures.BAR_COLOUR,
        texttemplate="%{x:.2f}",
        textposition="outside",
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
    web.update_yaxes(autorange="reversed", showgrid=False)
    return figures.write(page, web, out_stem)


def _hover(trial: TrialRecord, objectives: Objectives) -> str:
    value = values_line(trial, objectives) if trial.values else "no value"
    lines = [f"<b>trial {trial.number}</b>: {value}"]
    lines += [f"{name} = {digits(param)}" for name, param in trial.params.items()]
    return "<br>".join([*lines, trial.reason] if trial.reason else lines)
