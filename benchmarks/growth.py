"""How every trip grows with the universe: seconds, exponent and peak memory from 100 to 5,000 stocks.

    python benchmarks/growth.py [--stocks 100 300 1000 3000 5000] [--rows 400] [--plot docs/images/growth.png]
    python benchmarks/growth.py --work FOLDER --stocks 3000     one part; what FOLDER/growth.json has is kept
    python benchmarks/growth.py --market WORKSPACE --trips open forecast      a market that lies there already

A market of random walks with dated facts (benchmarks/market.py) is built at each size. Each trip runs in a
process of its own, so that its peak of resident memory is its own, pages of mapped files included; what it
imports and loads beforehand is not in its seconds. Seconds are of the processor, all threads, the median of
the repeats (wall seconds beside them). The exponent is that of processor seconds over stocks, fitted through
all sizes. The bound is a bare read of the same CSV files in the same run.

With `--work` each figure is written down as soon as it is taken and not taken again, so that a run can be
stopped and gone on with, size by size; the tables show all sizes that the folder knows.

build       CSV files -> panel, with adjustment and conditions, from nothing
unchanged   the same command again
features    panel -> features on disk, once for each panel
open        panel and features mapped, rows chosen, first training batch gathered
step        a training step of the default conditional model over one whole session
forecast    all stocks of the last session by a checkpoint that is loaded
evaluate    the judging of 60 sessions of forecasts, without baselines
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.measure import describe_machine, print_table

TRIPS = ("bare read", "build", "unchanged", "features", "open", "step", "forecast", "evaluate")
CHEAP = ("unchanged", "open", "step", "forecast")
EVALUATED = 60
CHECKPOINT = "growth"
COLOURS = ("#7f7f7f", "#1f77b4", "#17becf", "#bcbd22", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd")
Told = dict[str, Any]


class Clock:
    """Seconds of a trip, wall and processor, and the memory that was resident when it began."""

    def __enter__(self) -> "Clock":
        self.began, self.began_cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_s = time.perf_counter() - self.began
        self.cpu_s = time.process_time() - self.began_cpu


def take(trip: str, folder: str) -> Told:
    """One trip in this process; everything a trip needs is imported before its clock starts."""
    import pandas  # noqa: F401  (Arrow imports it at the first array it makes)
    import pyarrow.csv

    from financial_model.base.config import PanelSettings, TrainSettings
    from financial_model.base.progress import Progress
    from financial_model.base.workspace import Workspace
    from financial_model.data.panel import Panel
    from financial_model.workflows.build_panel import build_panel

    workspace, clock, told = Workspace(folder), Clock(), {}
    if trip == "bare read":
        with clock:
            for path in sorted(workspace.bars_dir.glob("*.csv")):
                pyarrow.csv.read_csv(path)
    elif trip in ("build", "unchanged"):
        with clock:
            build_panel(PanelSettings(rebuild=trip == "build"), workspace, Progress())
    elif trip == "features":
        from financial_model.datasets.feature_cache import load_features

        panel = Panel.open(workspace)
        with clock:
            load_features(panel, workspace)
    elif trip in ("open", "step"):
        import torch

        from financial_model.datasets.feature_cache import load_features
        from financial_model.datasets.multi_dim_dataset import open_dataset
        from financial_model.forecasting.calibration import fit_calibration
        from financial_model.training.run_files import RunFiles
        from financial_model.training.train import Trainer

        settings = TrainSettings(name=CHECKPOINT)
        with clock:
            panel = Panel.open(workspace)
            dataset = open_dataset(panel, settings, features=load_features(panel, workspace))
            loader = dataset.train_loader(settings.batch_size, settings.seed)
            dataset.matrices.gather(torch.from_numpy(loader.plan(0)[0]))
        if trip == "step":
            last = panel.session_index[dataset.train_rows].max()
            rows = torch.from_numpy(
                dataset.train_rows[panel.session_index[dataset.train_rows] == last]
            ).long()
            files = RunFiles(workspace, settings.output, settings.name)
            trainer = Trainer(dataset, files, Progress(), fit_calibration)
            trainer.model.train()
            trainer.compute_loss(rows[:64])[0].backward()
            with clock:
                trainer.optimizer.zero_grad(set_to_none=True)
                loss, _ = trainer.compute_loss(rows)
                loss.backward()
                trainer.optimizer.step()
            told["samples"] = len(rows)
    elif trip == "forecast":
        from financial_model.datasets.feature_cache import load_features
        from financial_model.forecasting.conditional_inference import open_predictor
        from financial_model.models.checkpoint import checkpoint_path

        panel = Panel.open(workspace)
        path = checkpoint_path(workspace, f"output/{CHECKPOINT}.pt")
        predictor = open_predictor(path, panel, features=load_features(panel, workspace))
        predictor.forecast(panel.codes[:1])
        with clock:
            told["samples"] = predictor.forecast().num_rows // predictor.prediction_length
    else:
        from financial_model.evaluation.result import judge, samples_of
        from financial_model.evaluation.samples import Forecasts

        panel = Panel.open(workspace)
        rows = np.flatnonzero(panel.session_index >= len(panel.sessions) - EVALUATED)
        fan = 0.02 * np.sqrt(np.arange(1, 6))[:, None] * np.array([-1.645, -0.674, 0.0, 0.674, 1.645])
        forecasts = Forecasts(
            rows, np.random.default_rng(1).standard_normal(len(rows)), np.broadcast_to(fan, (len(rows), 5, 5))
        )
        with clock:
            judge(samples_of(forecasts, panel), panel)
        told["samples"] = len(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return told | {"cpu_s": clock.cpu_s, "wall_s": clock.wall_s, "peak_mib": peak / 2**20}


def train_checkpoint(folder: str) -> None:
    """A checkpoint of the default model after a short training on few stocks; its weights do not matter."""
    from financial_model.base.config import TrainSettings
    from financial_model.base.progress import Progress
    from financial_model.base.workspace import Workspace
    from financial_model.data.panel import Panel
    from financial_model.workflows.train_model import train_model

    workspace = Workspace(folder)
    sessions = Panel.open(workspace).sessions
    settings = TrainSettings(name=CHECKPOINT, epochs=1, max_stocks=20)
    settings = TrainSettings.from_json(
        settings.to_json()
        | {
            "train_start": str(sessions[-330]),
            "train_end": str(sessions[-230]),
            "valid_end": str(sessions[-150]),
        }
    )
    train_model(settings, workspace, Progress())
    made = max((workspace.root / "output").glob(f"{CHECKPOINT}_*_best.pt"))  # of what a cut-off run left too
    shutil.copy(made, made.with_name(f"{CHECKPOINT}.pt"))


def child(kind: str, folder: str) -> Told:
    """Run one trip in a fresh process."""
    command = [sys.executable, __file__, "--child", kind, folder]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout or "{}")


def measure_trip(trip: str, folder: str, repeats: int) -> Told:
    """The repeat with the median of the processor seconds; beside it the slowest, and the highest peak."""
    many = sorted((child(trip, folder) for _ in range(repeats)), key=lambda one: one["cpu_s"])
    told = many[(len(many) - 1) // 2]
    print(trip, json.dumps(told), file=sys.stderr, flush=True)
    return told | {"slowest_s": many[-1]["cpu_s"], "peak_mib": max(one["peak_mib"] for one in many)}


class Growth:
    """What was measured so far, by number of stocks and trip, kept in a file as it comes."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.path = folder / "growth.json"
        self.found: dict[int, dict[str, Told]] = {}
        if self.path.is_file():
            held = json.loads(self.path.read_text())
            if held["rows"] != options.rows:
                raise SystemExit(f"{self.path} was measured with --rows {held['rows']}")
            self.found = {int(size): trips for size, trips in held["sizes"].items()}

    def measure(self, stocks: int) -> None:
        """Take the trips of one size that are not held yet, and remove its market after the last of them."""
        from benchmarks.market import generate
        from financial_model.base.workspace import Workspace

        held = self.found.setdefault(stocks, {})
        missing = [trip for trip in self.options.trips if trip not in held]
        if not missing:
            return
        root = self.folder / str(stocks)
        if not (root / "full_stock_data" / "stock_list.csv").is_file():
            generate(Workspace(root), stocks, self.options.rows)
            # What later trips stand on, of those that are not taken again.
            for trip in [trip for trip in ("build", "features") if trip in held or "features" in held]:
                child(trip, str(root))
        for trip in missing:
            if trip == "forecast":
                self._lend_checkpoint(root)
            held[trip] = measure_trip(trip, str(root), self.options.repeats if trip in CHEAP else 1)
            sizes = {size: self.found[size] for size in sorted(self.found)}
            self.path.write_text(json.dumps({"rows": self.options.rows, "sizes": sizes}, indent=1))
        shutil.rmtree(root)

    def _lend_checkpoint(self, root: Path) -> None:
        """One checkpoint, trained at the first size that needs it, serves all."""
        kept, lent = self.folder / f"{CHECKPOINT}.pt", root / "output" / f"{CHECKPOINT}.pt"
        if not kept.is_file():
            child("checkpoint", str(root))
            shutil.copy(lent, kept)
        lent.parent.mkdir(exist_ok=True)
        shutil.copy(kept, lent)


def exponent(sizes: list[int], seconds: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0]) if len(sizes) > 1 else float("nan")


def curve(found: dict[int, dict[str, Told]], trip: str) -> tuple[list[int], list[float]]:
    """(sizes, processor seconds) of a trip, of the sizes at which it was taken."""
    sizes = [size for size in sorted(found) if trip in found[size]]
    return sizes, [found[size][trip]["cpu_s"] for size in sizes]


def tell(found: dict[int, dict[str, Told]], options: argparse.Namespace) -> None:
    sizes = sorted(found)

    def table(title: str, cell: Any, *more: str) -> None:
        lines = []
        for trip in options.trips:
            line = [trip, *(cell(found[size][trip]) if trip in found[size] else "" for size in sizes)]
            lines.append([*line, f"{exponent(*curve(found, trip)):.2f}"] if more else line)
        print_table(title, ("trip", *(f"{size:,}" for size in sizes), *more), lines)

    print(describe_machine("pyarrow", "numpy", "torch"))
    title = f"Processor seconds (slowest of {options.repeats}) by stocks, {options.rows:,} sessions"
    table(title, lambda one: f"{one['cpu_s']:.3g} ({one['slowest_s']:.3g})", "exponent")
    table("Wall seconds, of the same repeat", lambda one: f"{one['wall_s']:.3g}")
    table("Peak resident memory, MiB", lambda one: f"{one['peak_mib']:.0f}")


def plot(found: dict[int, dict[str, Told]], trips: list[str], path: Path) -> None:
    """Processor seconds over stocks, both axes logarithmic, as a PNG."""
    from PIL import Image, ImageDraw, ImageFont

    width, height, left, right, top, bottom = 900, 520, 70, 720, 40, 470
    curves = {trip: curve(found, trip) for trip in trips}
    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    every = [value for _, seconds in curves.values() for value in seconds]
    low, high = np.floor(np.log10(min(every))), np.ceil(np.log10(max(every)))
    first, last = np.log10([min(found), max(found)])

    def place(stocks: float, seconds: float) -> tuple[float, float]:
        across = (np.log10(stocks) - first) / (last - first)
        up = (np.log10(seconds) - low) / (high - low)
        return left + across * (right - left), bottom - up * (bottom - top)

    for decade in np.arange(low, high + 1):
        _, y = place(min(found), 10**decade)
        draw.line([left, y, right, y], "#dddddd")
        draw.text((left - 8, y), f"{10**decade:g}", "#444444", font, anchor="rm")
    for stocks in sorted(found):
        x, _ = place(stocks, 10**low)
        draw.line([x, top, x, bottom], "#eeeeee")
        draw.text((x, bottom + 8), f"{stocks:,}", "#444444", font, anchor="mt")
    draw.text((left, 10), "Processor seconds by number of stocks (exponent)", "black", font)
    for line, (trip, (sizes, seconds)) in enumerate(curves.items()):
        colour = COLOURS[line % len(COLOURS)]
        points = [place(*point) for point in zip(sizes, seconds, strict=True)]
        draw.line(points, colour, 2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], colour)
        draw.line([right + 20, top + 10 + 24 * line, right + 40, top + 10 + 24 * line], colour, 3)
        name = f"{trip} ({exponent(sizes, seconds):.2f})"
        draw.text((right + 46, top + 10 + 24 * line), name, "black", font, anchor="lm")
    image.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stocks", type=int, nargs="+", default=[100, 300, 1000, 3000, 5000])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3, help="of the trips that are over in seconds")
    parser.add_argument("--trips", nargs="+", default=list(TRIPS), choices=TRIPS)
    parser.add_argument("--work", type=Path, help="a folder that keeps what was measured; see above")
    parser.add_argument("--market", help="a workspace made by benchmarks/market.py, measured as it is")
    parser.add_argument("--plot", type=Path, help="write the curves as a PNG (needs Pillow)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, folder = options.child
        if kind == "checkpoint":
            train_checkpoint(folder)
        else:
            print(json.dumps(take(kind, folder)))
        return
    if options.market:
        repeats = {trip: options.repeats if trip in CHEAP else 1 for trip in options.trips}
        tell({0: {trip: measure_trip(trip, options.market, repeats[trip]) for trip in repeats}}, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        growth = Growth(options.work or Path(folder), options)
        growth.folder.mkdir(parents=True, exist_ok=True)
        for stocks in options.stocks:
            growth.measure(stocks)
    tell(growth.found, options)
    if options.plot:
        plot(growth.found, options.trips, options.plot)


if __name__ == "__main__":
    main()
