"""A small made-up market for the tests of datasets, training and forecasting, and short trainings on it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.data.source import Bars
from financial_model.training.run_files import RunFiles
from financial_model.workflows.train_model import train_on_panel

VOCABULARIES = {
    "industry": ("unknown", "finance", "technology", "energy"),
    "style_size": ("unknown", "q1", "q2", "q3", "q4", "q5"),
    "regime": ("unknown", "bull", "bear"),
}


def make_market(stocks: int = 16, sessions: int = 240, seed: int = 0, gaps: float = 0.02) -> Panel:
    """Random walks with suspended sessions, late listings, and yesterday's return paid back in part."""
    generator = np.random.default_rng(seed)
    days = np.busday_offset("2016-01-04", np.arange(sessions), roll="forward").astype("datetime64[D]")
    shock = 0.02 * generator.standard_normal((stocks, sessions))
    log_return = shock - 0.3 * np.roll(shock, 2, axis=1)
    close = 10 * np.exp(log_return.cumsum(axis=1))
    open_ = close * np.exp(0.004 * generator.standard_normal(close.shape))
    trades = generator.random(close.shape) >= gaps
    trades[::5] &= np.arange(sessions) >= sessions // 3  # every fifth stock is listed later
    code = np.repeat([f"SH6{number:05d}" for number in range(stocks)], sessions).reshape(close.shape)
    columns = {
        "open": open_,
        "high": np.maximum(open_, close) * 1.01,
        "low": np.minimum(open_, close) * 0.99,
        "close": close,
        "volume": np.exp(generator.normal(12, 0.6, close.shape)),
        "amount": np.exp(generator.normal(15, 0.6, close.shape)),
        "industry": np.tile((np.arange(stocks) % 3 + 1)[:, None], (1, sessions)),
        "style_size": generator.integers(0, 6, close.shape),
        "regime": np.tile(np.arange(sessions) // 50 % 2 + 1, (stocks, 1)),
    }
    index = Bars.of("SH000300", date=days, close=3000 * np.exp(log_return.mean(axis=0).cumsum()))
    return Panel.from_columns(
        code[trades],
        np.broadcast_to(days, close.shape)[trades],
        {name: values[trades] for name, values in columns.items()},
        vocabularies=VOCABULARIES,
        indices={"SH000300": index},
        is_simulated=True,
    )


def small_settings(model: str = "conditional", dropout: float = 0.1, **changes: object) -> TrainSettings:
    """Settings of a training that takes a second."""
    network = ModelSettings(
        model=model,  # type: ignore[arg-type]
        context_length=12,
        prediction_length=3,
        hidden_size=16,
        layers=1,
        heads=2,
        dropout=dropout,
        industry_embedding=4,
        style_embedding=2,
        regime_embedding=2,
    )
    settings = TrainSettings(name="walk", model=network, epochs=2, batch_size=96, save_interval=100)
    return replace(settings, **changes)  # type: ignore[arg-type]


def train(
    panel: Panel, folder: Path, settings: TrainSettings | None = None, progress: Progress | None = None
):
    """Train in a folder; the workflow's result, and the workspace."""
    settings = settings or small_settings()
    workspace = Workspace(folder)
    files = RunFiles(workspace, settings.output, settings.name)
    return train_on_panel(panel, settings, files, progress or Progress()), workspace
