"""The settings of every stage: frozen, checked when they are made, saved as JSON beside each result.

A workflow is handed one of these and reads nothing else: no environment, no global. The shell and the
page make the same objects, so whatever one can do the other can.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Self, get_args, get_origin

from .errors import BadSetting, MissingSetting

ModelName = Literal["conditional", "transformer", "lstm"]
TrainMode = Literal["unified", "industry"]
LossName = Literal["trend_aware", "mse", "huber_trend", "directional", "quantile", "ic"]
RegimeMethod = Literal["rules", "markov"]
BucketMethod = Literal["quantile", "threshold"]
IndustryDates = Literal["start", "written"]
OrderPrice = Literal["open", "close"]

INDUSTRIES = (
    "finance",
    "consumer",
    "technology",
    "healthcare",
    "industrial",
    "materials",
    "energy",
    "utilities",
    "real_estate",
    "telecom",
    "other",
)
QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
VolumeUnit = Literal["shares", "lots"]
# What has no default, told to who leaves it out.
NEEDED = {
    "path": "a file of bars, or a folder that holds CSV files or a vipdoc",
    "checkpoint": "a .pt file that a training wrote",
    "checkpoints": "one or more .pt files that a training wrote",
}
DEFAULT_INDEX = "SH000300"
# No broker may ask for more, as a fraction of the amount.
COMMISSION_CAP = 0.003
TAG_NAMES = {"first": "from", "last": "to"}  # as the command line has them


class Settings:
    """What all settings share: they know their JSON twin, and check their fields' types on the way in."""

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON-like values; `from_json` gives them back equal."""
        return {f.name: _to_plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Settings from a dict of JSON-like values; BadSetting names an unknown key or a wrong type.

        >>> SimulateSettings.from_json({"stocks": 20}).stocks
        20
        """
        if not isinstance(values, dict):
            raise BadSetting(cls.__name__, values, "a JSON object")
        hints = typing.get_type_hints(cls)
        known = {f.name for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise BadSetting(str(name), values[name], f"one of {', '.join(sorted(known))}")
        for setting in dataclasses.fields(cls):  # type: ignore[arg-type]
            is_required = setting.default is setting.default_factory is dataclasses.MISSING
            if is_required and values.get(setting.name) is None:
                raise MissingSetting(setting.name, NEEDED.get(setting.name, "a value: it has no default"))
        made = cls(**{name: _from_plain(name, value, hints[name]) for name, value in values.items()})
        object.__setattr__(made, "_given", frozenset(values))
        return made

    def asked(self) -> dict[str, Any]:
        """What was asked for, as JSON-like values; `from_json` gives equal settings that ask for no more.

        Asked for is what came in by name (`from_json`: options, a file) and whatever is not at its default.

        >>> SimulateSettings.from_json({"stocks": 300, "seed": 5}).asked()
        {'stocks': 300, 'seed': 5}
        """
        found: dict[str, Any] = {}
        given: frozenset[str] = getattr(self, "_given", frozenset())
        for setting in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, setting.name)
            if isinstance(value, Settings):
                if inner := value.asked():
                    found[setting.name] = inner
            elif setting.name in given or value != setting.default:
                found[setting.name] = _to_plain(value)
        return found

    def tags(self, *but: str) -> list[str]:
        """What differs from the plain case, as parts of the name of a result; `but`: what needs no part.

        >>> BacktestSettings("a.pt", first=date(2018, 1, 2), top=20).tags("checkpoint", "out")
        ['from20180102', 'top20']
        """
        found = []
        for setting in dataclasses.fields(self):  # type: ignore[arg-type]
            value, name = getattr(self, setting.name), TAG_NAMES.get(setting.name, setting.name)
            if setting.name in but or value == setting.default:
                continue
            if isinstance(value, bool):
                found.append(name if value else f"no_{name}")
            elif isinstance(value, tuple):
                found.append("-".join([name, *map(str, value)]))
            else:
                told = f"{value:%Y%m%d}" if isinstance(value, date) else f"{value}"
                found.append(f"{name}-{told}" if isinstance(value, str) else f"{name}{told}")
        return found

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """What was asked for here and is otherwise there: {name: (here, there)}, inner settings one by one.

        >>> asked = SimulateSettings.from_json({"stocks": 300, "seed": 5})
        >>> asked.differences(SimulateSettings(stocks=20, sessions=400, seed=5))
        {'stocks': (300, 20)}
        """
        found: dict[str, tuple[Any, Any]] = {}
        asked = self.asked()
        for setting in dataclasses.fields(self):  # type: ignore[arg-type]
            mine, theirs = getattr(self, setting.name), getattr(other, setting.name)
            if isinstance(mine, Settings):
                found |= mine.differences(theirs)
            elif setting.name in asked and mine != theirs:
                found[setting.name] = (mine, theirs)
        return found


def _to_plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_json()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def _from_plain(name: str, value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
        return _from_plain(name, value, hint)
    if origin is Literal:
        if value not in get_args(hint):
            raise BadSetting(name, value, f"one of {', '.join(map(str, get_args(hint)))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise BadSetting(name, value, "a list")
        return tuple(_from_plain(name, item, get_args(hint)[0]) for item in value)
    if isinstance(hint, type) and issubclass(hint, Settings):
        return value if isinstance(value, hint) else hint.from_json(value)
    if hint is date:
        return value if isinstance(value, date) else parse_date(name, value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise BadSetting(name, f"{str(value)[:12]}...", "a number of at most 1e308") from None
    if hint is str and isinstance(value, str) and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise BadSetting(name, ascii(value)[:80], "text that can be written to a file")
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise BadSetting(name, value, f"a value of type {hint.__name__}")
    return value


def parse_date(name: str, text: Any) -> date:
    """A date from ISO text (2018-06-29); BadSetting otherwise."""
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise BadSetting(name, text, "a date such as 2018-06-29") from None


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise BadSetting unless low <= value <= high; NaN never passes."""
    if not low <= value <= high:
        raise BadSetting(name, value, f"a number from {low:g} to {high:g}")


def check_order(first_name: str, first: date | None, second_name: str, second: date | None) -> None:
    """Raise BadSetting unless the first date lies before the second, where both are given."""
    if first is not None and second is not None and not first < second:
        raise BadSetting(second_name, second.isoformat(), f"a date after {first_name} ({first.isoformat()})")


def check_span(first: date | None, last: date | None) -> None:
    """Raise BadSetting where a range of sessions ends before it begins; one session is a range."""
    if first is not None and last is not None and last < first:
        raise BadSetting("last", last.isoformat(), f"a date not before first ({first.isoformat()})")


@dataclass(frozen=True)
class SimulateSettings(Settings):
    """A practice market: how large, which seed, how strong the planted signal."""

    stocks: int = 300
    sessions: int = 2000
    seed: int = 0
    signal: float = 0.10

    def __post_init__(self) -> None:
        check_range("stocks", self.stocks, 5, 10_000)
        check_range("sessions", self.sessions, 300, 20_000)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check_range("signal", self.signal, 0.0, 0.5)


@dataclass(frozen=True)
class DownloadSettings(Settings):
    """What to fetch from quote servers; `codes` wins over `stocks`."""

    stocks: int = 100
    codes: tuple[str, ...] = ()
    start: date = date(1999, 1, 1)
    servers: tuple[str, ...] = ()
    connections: int = 4
    retry_failed: bool = False

    def __post_init__(self) -> None:
        check_range("stocks", self.stocks, 1, 10_000)
        check_range("connections", self.connections, 1, 16)


@dataclass(frozen=True)
class ImportSettings(Settings):
    """Where local bars lie: CSV files, or a folder that holds a vipdoc.

    volume_unit: that of files which say neither their unit nor an amount to tell it by; None takes shares.
    """

    path: str
    max_stocks: int | None = None
    volume_unit: VolumeUnit | None = None

    def __post_init__(self) -> None:
        if self.max_stocks is not None:
            check_range("max_stocks", self.max_stocks, 1, 100_000)


@dataclass(frozen=True)
class ConditionSettings(Settings):
    """How the conditions of a session are made from facts known at its close."""

    index: str = DEFAULT_INDEX
    regime: RegimeMethod = "rules"
    buckets: BucketMethod = "quantile"
    industry_dates: IndustryDates = "start"


@dataclass(frozen=True)
class PanelSettings(Settings):
    """How the panel is built from the store."""

    rebuild: bool = False
    conditions: ConditionSettings = field(default_factory=ConditionSettings)


@dataclass(frozen=True)
class AnalyzeSettings(Settings):
    """The universe as of a date; the last session when none is given."""

    as_of: date | None = None
    max_stocks: int | None = None

    def __post_init__(self) -> None:
        if self.max_stocks is not None:
            check_range("max_stocks", self.max_stocks, 1, 100_000)


@dataclass(frozen=True)
class ModelSettings(Settings):
    """What a network sees and its sizes. Heads must divide the hidden size.

    Without `with_conditions` a stock is seen by itself: industry, style, regime, the market's state and what
    is measured against market or industry say nothing. The measure of what the conditions are worth.
    """

    model: ModelName = "conditional"
    context_length: int = 60
    prediction_length: int = 5
    hidden_size: int = 128
    layers: int = 2
    heads: int = 8
    dropout: float = 0.3
    industry_embedding: int = 32
    style_embedding: int = 16
    regime_embedding: int = 16
    with_conditions: bool = True

    def __post_init__(self) -> None:
        check_range("context_length", self.context_length, 8, 512)
        check_range("prediction_length", self.prediction_length, 1, 20)
        check_range("hidden_size", self.hidden_size, 8, 2048)
        check_range("layers", self.layers, 1, 16)
        check_range("heads", self.heads, 1, 64)
        check_range("dropout", self.dropout, 0.0, 0.9)
        for name in ("industry_embedding", "style_embedding", "regime_embedding"):
            check_range(name, getattr(self, name), 1, 512)
        if self.hidden_size % self.heads:
            raise BadSetting("heads", self.heads, f"a divisor of hidden_size ({self.hidden_size})")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """One training, as the page and the shell ask for it.

    `batch_size` counts samples; where a loss looks across stocks a batch is made of whole sessions, as
    many as reach it. Dates split all stocks alike: train up to `train_end`, validate up to `valid_end`,
    with a purge between; when not given, the last sessions are kept for test and validation.
    The learning rate falls to nothing over `epochs`: in noise like this a few are enough, more only fit it.
    """

    name: str = "hermes"
    output: str = "output"
    model: ModelSettings = field(default_factory=ModelSettings)
    mode: TrainMode = "unified"
    industry: str | None = None
    codes: tuple[str, ...] = ()
    max_stocks: int | None = None
    loss: LossName = "trend_aware"
    epochs: int = 4
    batch_size: int = 2048
    learning_rate: float = 0.001
    weight_decay: float = 0.05
    gradient_clip: float = 1.0
    patience: int = 5
    save_interval: int = 5
    train_start: date | None = None
    train_end: date | None = None
    valid_end: date | None = None
    holding: int = 1
    seed: int = 0
    ensemble: int = 1
    mixed_precision: bool = False
    compile: bool = False
    tensorboard: bool = False
    resume: str | None = None

    def __post_init__(self) -> None:
        check_range("epochs", self.epochs, 1, 10_000)
        check_range("batch_size", self.batch_size, 1, 1_000_000)
        check_range("learning_rate", self.learning_rate, 1e-7, 1.0)
        check_range("weight_decay", self.weight_decay, 0.0, 10.0)
        check_range("gradient_clip", self.gradient_clip, 1e-3, 1e3)
        check_range("patience", self.patience, 1, 10_000)
        check_range("save_interval", self.save_interval, 1, 10_000)
        check_range("holding", self.holding, 1, 20)
        check_range("seed", self.seed, 0, 2**31 - 1)
        check_range("ensemble", self.ensemble, 1, 32)
        if self.max_stocks is not None:
            check_range("max_stocks", self.max_stocks, 1, 100_000)
        if self.mode == "industry" and self.industry not in INDUSTRIES:
            raise BadSetting("industry", self.industry, f"one of {', '.join(INDUSTRIES)} in industry mode")
        check_order("train_start", self.train_start, "train_end", self.train_end)
        check_order("train_end", self.train_end, "valid_end", self.valid_end)


@dataclass(frozen=True)
class ForecastSettings(Settings):
    """Which stocks and which as-of sessions a checkpoint forecasts; `bars` is a CSV of the user's own."""

    checkpoint: str
    codes: tuple[str, ...] = ()
    all: bool = False
    bars: str | None = None
    as_of: date | None = None
    first: date | None = None
    last: date | None = None
    out: str | None = None

    def __post_init__(self) -> None:
        if self.as_of is not None and (self.first is not None or self.last is not None):
            raise BadSetting("as_of", self.as_of.isoformat(), "either one as-of date or a range, not both")
        check_span(self.first, self.last)
        asked = [name for name in ("codes", "all", "bars") if getattr(self, name)]
        if len(asked) > 1:
            raise BadSetting(asked[0], getattr(self, asked[0]), f"no {asked[1]} beside it: one or the other")


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """An out-of-sample report over as-of sessions first..last; several checkpoints are set side by side."""

    checkpoints: tuple[str, ...]
    first: date | None = None
    last: date | None = None
    baselines: bool = True
    out: str | None = None

    def __post_init__(self) -> None:
        check_span(self.first, self.last)


@dataclass(frozen=True)
class WalkForwardSettings(Settings):
    """Retraining through time: `folds` test spans after `first`, each trained on what lay before it."""

    train: TrainSettings = field(default_factory=TrainSettings)
    first: date | None = None
    last: date | None = None
    folds: int = 4
    workers: int = 1
    baselines: bool = True

    def __post_init__(self) -> None:
        check_span(self.first, self.last)
        check_range("folds", self.folds, 1, 100)
        check_range("workers", self.workers, 1, 64)


@dataclass(frozen=True)
class BacktestSettings(Settings):
    """Long-only top-k under A-share rules."""

    checkpoint: str
    first: date | None = None
    last: date | None = None
    top: int = 50
    drop: int = 5
    holding: int = 1
    cash_cny: float = 1_000_000.0
    commission_rate: float = 0.00025
    slippage_rate: float = 0.0005
    order_price: OrderPrice = "close"
    index: str = DEFAULT_INDEX
    out: str | None = None

    def __post_init__(self) -> None:
        check_span(self.first, self.last)
        check_range("top", self.top, 1, 1000)
        check_range("drop", self.drop, 0, 1000)
        check_range("holding", self.holding, 1, 250)
        check_range("cash_cny", self.cash_cny, 1e4, 1e12)
        check_range("commission_rate", self.commission_rate, 0.0, COMMISSION_CAP)
        check_range("slippage_rate", self.slippage_rate, 0.0, 0.05)


@dataclass(frozen=True)
class DoctorSettings(Settings):
    """What to check of this machine; servers cost a few seconds of network."""

    servers: tuple[str, ...] = ()
    skip_servers: bool = False
    port: int = 7860

    def __post_init__(self) -> None:
        check_range("port", self.port, 1, 65535)


# What each command is told. The page's jobs are these commands, and are told the same.
SETTINGS_OF: dict[str, type[Settings]] = {
    "simulate": SimulateSettings,
    "download": DownloadSettings,
    "import": ImportSettings,
    "build-panel": PanelSettings,
    "analyze": AnalyzeSettings,
    "train": TrainSettings,
    "forecast": ForecastSettings,
    "scan": ForecastSettings,
    "evaluate": EvaluateSettings,
    "backtest": BacktestSettings,
    "walk-forward": WalkForwardSettings,
    "doctor": DoctorSettings,
}
