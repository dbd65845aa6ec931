"""Forecasts of real stocks as of t, from a workspace in which nothing after t was ever written.

Bars, facts and index bars are cut in the source files themselves, then imported and built anew, so that
every step between a day file and a forecast is asked whether it looked ahead. Industries are cut by their
first day, `from`, as the default setting reads them (docs/CONDITIONS.md).
"""

import csv
import datetime
from pathlib import Path

import numpy as np
import pytest

from financial_model.base.config import ImportSettings, ModelSettings, PanelSettings, TrainSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.data.panel import Panel
from financial_model.data.reference_store import KINDS
from financial_model.data.tdx_files import RECORD
from financial_model.datasets.features import Features, compute_features
from financial_model.forecasting.conditional_inference import open_predictor
from financial_model.market.codes import is_index
from financial_model.models.checkpoint import checkpoint_path
from financial_model.training.run_files import RunFiles
from financial_model.workflows.build_panel import build_panel
from financial_model.workflows.import_bars import import_bars
from financial_model.workflows.train_model import train_on_panel

pytestmark = pytest.mark.real_data

FAR = datetime.date(9999, 12, 31)
# In the crash half of the market was suspended; on the eve of 2018-06-29 many stocks went ex-dividend.
SHORT_DAYS = (datetime.date(2015, 7, 8), datetime.date(2018, 6, 28))
STEERED_SESSIONS = 15
TABLES = ("sequence", "summary", "market", "volatility")


def write_source(real_data: Path, target: Path, codes: set[str], day: datetime.date = FAR) -> Path:
    """What a source held at the close of `day`: bars and facts of these codes and of all indices."""
    for path in sorted(real_data.glob("vipdoc/*/lday/*.day")):
        code = path.stem.upper()
        if not (is_index(code) or code in codes):
            continue
        records = np.frombuffer(path.read_bytes(), RECORD)
        records = records[records["date"] <= int(f"{day:%Y%m%d}")]
        if len(records):
            file = target / path.relative_to(real_data)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(records.tobytes())
    (target / "reference").mkdir()
    for name, kind in KINDS.items():
        source = real_data / "reference" / f"{name}.csv"
        if not source.is_file():
            continue
        known_by = {"industries": ("from",)}.get(name, kind.known)
        with (
            open(source, encoding="utf-8-sig", newline="") as old,
            open(target / "reference" / source.name, "w", encoding="utf-8", newline="") as new,
        ):
            rows = csv.DictReader(old)
            writer = csv.DictWriter(new, rows.fieldnames)
            writer.writeheader()
            for row in rows:
                if row["code"] not in codes or any(row[column] > day.isoformat() for column in known_by):
                    continue
                for column in (*kind.ends, "updated"):
                    if row.get(column, "") > day.isoformat():
                        row[column] = ""
                for column in kind.hindsight:
                    row[column] = ""
                writer.writerow(row)
    return target


def build(source: Path, root: Path) -> Panel:
    workspace = Workspace(root)
    import_bars(ImportSettings(str(source)), workspace, Progress())
    build_panel(PanelSettings(), workspace, Progress())
    return Panel.open(workspace)


class Whole:
    """The full data: its panel and features, and a checkpoint of each model after one epoch."""

    def __init__(self, real_data: Path, root: Path, models: tuple[str, ...], every: int) -> None:
        self.real_data, self.root = real_data, root
        codes = sorted(p.stem.upper() for p in real_data.glob("vipdoc/*/lday/*.day"))
        self.codes = {code for code in codes if not is_index(code)}
        self.codes = set(sorted(self.codes)[::every])
        self.panel = build(write_source(real_data, root / "source", self.codes), root / "all")
        self.features = compute_features(self.panel)
        workspace = Workspace(root / "all")
        self.checkpoints = {}
        for name in models:
            settings = TrainSettings(
                name=name,
                model=ModelSettings(model=name, context_length=30, hidden_size=16, layers=1, heads=2),
                epochs=1,
                train_start=datetime.date(2012, 1, 1),
                train_end=datetime.date(2012, 12, 31),
                valid_end=datetime.date(2013, 6, 28),
            )
            files = RunFiles(workspace, settings.output, settings.name)
            told = train_on_panel(self.panel, settings, files, Progress(), self.features)
            self.checkpoints[name] = checkpoint_path(workspace, told["checkpoint"])

    def check(self, day: datetime.date) -> dict[str, int]:
        """Panel, features and forecasts up to `day` from data cut after it; returns how much was compared."""
        source = write_source(self.real_data, self.root / f"source-{day}", self.codes, day)
        rebuilt = build(source, self.root / f"cut-{day}")
        cut = self.panel.truncated(day)
        assert rebuilt.last_session == cut.last_session
        check_panel(cut, rebuilt)
        features = compute_features(rebuilt)
        check_features(self.panel, self.features, cut, features)
        compared = {"rows": len(cut), "stocks": len(cut.rows_at(-1)), "forecasts": 0}
        first = cut.sessions[-STEERED_SESSIONS].item()
        for path in self.checkpoints.values():
            whole = open_predictor(path, self.panel, features=self.features)
            others = (
                open_predictor(path, cut, features=features),
                open_predictor(path, rebuilt, features=features),
            )
            for asked in ({"as_of": day}, {"first": first, "last": day}):
                expected = whole.forecast(**asked)
                for other in others:
                    # The same rows in the same batches: the same bits.
                    assert other.forecast(**asked).equals(expected), (path.stem, asked)
                compared["forecasts"] += expected.num_rows
        return compared


def check_panel(cut: Panel, rebuilt: Panel) -> None:
    assert rebuilt.codes == cut.codes
    np.testing.assert_array_equal(rebuilt.sessions, cut.sessions)
    assert rebuilt.column_names == cut.column_names
    for name in (*cut.column_names, "date"):
        np.testing.assert_array_equal(rebuilt.column(name), cut.column(name), err_msg=name)


def check_features(panel: Panel, features: Features, cut: Panel, cut_features: Features) -> None:
    """Bit for bit, on every row and session up to the cut."""
    kept = panel.session_index < len(cut.sessions)
    for name in TABLES:
        whole, mine = getattr(features, name), getattr(cut_features, name)
        whole = whole[: len(cut.sessions)] if name == "market" else whole[kept]
        assert whole.tobytes() == mine.tobytes(), name


def test_forecasts_of_real_stocks_do_not_change_when_the_future_is_cut_off(real_data, tmp_path):
    whole = Whole(real_data, tmp_path, ("conditional",), every=20)
    for day in SHORT_DAYS:
        compared = whole.check(day)
        assert compared["stocks"] >= 20
        assert compared["forecasts"] > 1000


@pytest.mark.slow
def test_no_model_sees_the_future_on_twenty_days_of_ten_years(real_data, tmp_path):
    whole = Whole(real_data, tmp_path, ("conditional", "transformer", "lstm"), every=4)
    places = np.linspace(120, len(whole.panel.sessions) - 2, 18).astype(int)
    days = [*SHORT_DAYS, *(day.item() for day in whole.panel.sessions[places])]
    total = dict.fromkeys(("rows", "stocks", "forecasts"), 0)
    for day in sorted(days):
        for name, count in whole.check(day).items():
            total[name] += count
    print(f"{len(whole.codes)} stocks, {len(days)} days, compared: {total}")
    assert total["forecasts"] > 100_000
