"""Draw the regime timeline of an index as a picture: closes, and behind them the regime of each session.

    python benchmarks/draw_regime.py WORKSPACE docs/images/regime.png [INDEX]

WORKSPACE holds the index's bars (`import`). The picture is a Plotly page photographed by Chromium.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from financial_model.base.config import ConditionSettings
from financial_model.base.workspace import Workspace
from financial_model.conditions.market_regime import REGIMES, regime_labels, regime_state
from financial_model.data.bar_store import BarStore

COLOURS = {"bull": "#d9534f", "bear": "#3a9d6a", "sideways": "#c9ced6", "volatile": "#d9973b"}
SIZE = (1500, 820)


def draw(workspace: Workspace, index: str) -> go.Figure:
    bars = BarStore(workspace).read(index)
    days = bars.date.astype("datetime64[s]").astype(object)
    figure = make_subplots(3, 1, shared_xaxes=True, row_heights=[0.72, 0.06, 0.22], vertical_spacing=0.03)
    line = {"color": "#1f2733", "width": 1.4}
    figure.add_trace(go.Scatter(x=days, y=bars.close, line=line, name=f"{index} close"), row=1, col=1)
    nothing = go.Scatter(x=[days[0], days[-1]], y=[0.5, 0.5], opacity=0, showlegend=False)
    figure.add_trace(nothing, row=2, col=1)
    state, names = regime_state(bars, ConditionSettings())
    volatility = 100 * state[:, names.index("volatility_20")]
    line = {"color": "#7b8494", "width": 1}
    told = go.Scatter(x=days, y=volatility, line=line, name="volatility, 20 sessions, % a year")
    figure.add_trace(told, row=3, col=1)
    for word, colour in COLOURS.items():
        marker = {"color": colour, "size": 12, "symbol": "square"}
        key = go.Scatter(x=[days[0]], y=[None], mode="markers", marker=marker, name=word)
        figure.add_trace(key, row=1, col=1)
    # Bands go only where something has been drawn before.
    for row, method in ((1, "rules"), (2, "markov")):
        labels = regime_labels(bars, ConditionSettings(regime=method))
        edges = [0, *(np.flatnonzero(labels[1:] != labels[:-1]) + 1), len(labels)]
        for start, stop in pairwise(edges):
            word = REGIMES[labels[start]]
            if word in COLOURS:
                figure.add_vrect(
                    x0=days[start], x1=days[min(stop, len(days) - 1)], fillcolor=COLOURS[word],
                    opacity=0.4, line_width=0, layer="below", row=row, col=1,
                )  # fmt: skip
    figure.update_yaxes(type="log", title="index points", row=1, col=1)
    figure.update_yaxes(visible=False, range=[0, 1], row=2, col=1)
    figure.update_yaxes(title="%", row=3, col=1)
    figure.update_layout(
        template="plotly_white",
        width=SIZE[0],
        height=SIZE[1],
        title=f"Regimes of {index}, each known at its close: rules (above), Markov switching (strip)",
        legend={"orientation": "h", "y": -0.08},
        margin={"l": 70, "r": 20, "t": 60, "b": 60},
    )
    return figure


def photograph(figure: go.Figure, target: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is needed to photograph the page.")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "regime.html"
        figure.write_html(page, include_plotlyjs=True, config={"displayModeBar": False})
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--window-size={SIZE[0]},{SIZE[1]}", "--virtual-time-budget=8000"]
        subprocess.run(
            [
                *command,
                f"--user-data-dir={folder}/profile",
                f"--screenshot={target.resolve()}",
                page.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", metavar="WORKSPACE")
    parser.add_argument("target", metavar="PNG", type=Path)
    parser.add_argument("index", metavar="INDEX", nargs="?", default="SH000300")
    options = parser.parse_args()
    photograph(draw(Workspace(options.workspace), options.index), options.target)
