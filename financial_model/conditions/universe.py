"""The universe as of a date: who is listed, who trades, and what is known about them.

Everything is read from rows and facts of the as-of session or earlier. The one exception is a stock's
name, which sources give as of today; it is shown to people and computed with nowhere.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES, ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore, holds_at
from .market_regime import REGIMES, choose_index, current_spell
from .stock_metadata import OTHER, Industries
from .style import STYLES, published_yields, session_ranks

FloatArray = npt.NDArray[np.floating[Any]]

# A stock without a bar for so many sessions, whose delisting no source told, is no longer counted.
SILENT_SESSIONS = 250
# Tables of events: a stock without a row has had none, which is not the same as unknown.
EVENTS = ("st_periods", "corporate_actions")
FACTS = ("industries", "share_capital", "st_periods", "corporate_actions", "fundamentals", "stock_list")


@dataclass(frozen=True, eq=False)
class Universe:
    """The stocks of a panel that exist as of one session; arrays (U,) run along `codes`.

    row: the panel's last row of each on or before the session. traded: whether that is the session itself.
    """

    panel: Panel
    reference: ReferenceStore
    position: int
    codes: list[str]
    row: npt.NDArray[np.int64]
    traded: npt.NDArray[np.bool_]
    delisted: int
    silent: int

    @classmethod
    def at(
        cls, panel: Panel, reference: ReferenceStore, position: int, max_stocks: int | None = None
    ) -> "Universe":
        """The universe at the close of session `position`; the first `max_stocks` by code where given."""
        day = panel.sessions[position]
        listed = reference.as_of("stock_list", day)
        gone = set(listed["code"][~np.isnat(listed["delist_date"])].tolist())
        codes, rows, seen = [], [], []
        delisted = silent = 0
        for k, code in enumerate(panel.codes):
            start, stop = int(panel.offsets[k]), int(panel.offsets[k + 1])
            last = start + int(np.searchsorted(panel.session_index[start:stop], position, side="right")) - 1
            if last < start:
                continue
            at = int(panel.session_index[last])
            if code in gone and at < position:
                delisted += 1
            elif position - at > SILENT_SESSIONS:
                silent += 1
            else:
                codes.append(code)
                rows.append(last)
                seen.append(at == position)
        kept = slice(0, max_stocks)
        return cls(
            panel,
            reference,
            position,
            codes[kept],
            np.array(rows[kept], dtype=np.int64),
            np.array(seen[kept], dtype=np.bool_),
            delisted,
            silent,
        )

    @property
    def session(self) -> np.datetime64:
        return self.panel.sessions[self.position]

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column of the panel at each stock's last row, (U,)."""
        return self.panel.column(name)[self.row]

    def past_return(self, bars: int) -> FloatArray:
        """Adjusted return over the stock's last `bars` bars; NaN when it is too young or not traded."""
        close = self.panel.column("close")
        starts = self.panel.offsets[self.panel.code_index[self.row]]
        before = self.row - bars
        return np.where(
            self.traded & (before >= starts), close[self.row] / close[np.maximum(before, 0)] - 1, np.nan
        )

    @cached_property
    def is_st(self) -> npt.NDArray[np.bool_]:
        """Special treatment on the as-of session, from the dated spells."""
        facts = self.reference.as_of("st_periods", self.session)
        day = np.array([self.session])
        return np.array([holds_at(facts.of(code), day)[0] for code in self.codes], dtype=np.bool_)

    @cached_property
    def industry_rows(self) -> tuple[Industries, npt.NDArray[np.int64]]:
        """The industry facts and the row of them that holds for each stock, (U,), negative where none."""
        industries = Industries.read(self.reference)
        day = np.array([self.session])
        rows = [industries.rows_on(code, day)[0] for code in self.codes]
        return industries, np.array(rows, dtype=np.int64)

    @property
    def industry(self) -> npt.NDArray[np.int8]:
        industries, rows = self.industry_rows
        if not len(industries.group):
            return np.full(len(self.codes), OTHER, np.int8)
        return np.where(rows >= 0, industries.group[rows], OTHER).astype(np.int8)

    @property
    def source_names(self) -> list[str]:
        """Each stock's industry in its source's own words; "" where none is known."""
        industries, rows = self.industry_rows
        return [str(industries.name[row]) if row >= 0 else "" for row in rows]

    @property
    def market_cap(self) -> FloatArray:
        return self.column("total_shares").astype(np.float64) * self.column("raw_close")

    @cached_property
    def factors(self) -> dict[str, FloatArray]:
        """The factor behind each style at each stock's last row, (U,)."""
        return {name: style.factor(self.panel, self.reference)[self.row] for name, style in STYLES.items()}

    @cached_property
    def yields(self) -> tuple[FloatArray, FloatArray]:
        """(earnings / price, book / price), (U,)."""
        earnings, book = published_yields(self.panel, self.reference)
        return earnings[self.row], book[self.row]

    def counts(self) -> dict[str, int]:
        close, up, down = self.column("raw_close"), self.column("limit_up"), self.column("limit_down")
        return {
            "listed": len(self.codes),
            "traded": int(self.traded.sum()),
            "suspended": int((~self.traded).sum()),
            "st": int(self.is_st.sum()),
            "at_limit_up": int((self.traded & (close >= up - 1e-6)).sum()),
            "at_limit_down": int((self.traded & (close <= down + 1e-6)).sum()),
            "delisted": self.delisted,
            "silent": self.silent,
        }

    def industry_table(self) -> list[dict[str, Any]]:
        """One dict an industry, in the order of INDUSTRIES; returns are means over the stocks that traded."""
        names, caps = self.source_names, self.market_cap
        day, month = self.past_return(1), self.past_return(20)
        told = []
        for group, industry in enumerate(INDUSTRIES):
            members = np.flatnonzero(self.industry == group)
            own: dict[str, int] = {}
            for k in members:
                own[names[k]] = own.get(names[k], 0) + 1
            told.append(
                {
                    "industry": industry,
                    "stocks": len(members),
                    "unknown": own.pop("", 0),
                    "market_cap_cny": _number(_sum(caps[members])),
                    "return_1": _number(_mean(day[members])),
                    "return_20": _number(_mean(month[members])),
                    "source_names": [
                        list(item) for item in sorted(own.items(), key=lambda one: (-one[1], one[0]))
                    ],
                    "codes": [self.codes[k] for k in members],
                }
            )
        return told

    def style_table(self) -> dict[str, dict[str, Any]]:
        """Per style its buckets with how many stocks, and how much market cap, lie in each."""
        caps = np.nan_to_num(self.market_cap)
        told = {}
        for name in STYLES:
            words, column = self.panel.names(name), self.column(name)
            counts = np.bincount(column, minlength=len(words))
            sums = np.bincount(column, weights=caps, minlength=len(words))
            told[name] = {
                "buckets": list(words),
                "stocks": counts.tolist(),
                "market_cap_cny": [_number(value) for value in sums],
            }
        return told

    def style_heat(self) -> dict[str, Any]:
        """Median percentile (0 to 100) of each style's factor by industry, over the stocks that traded."""
        rows = self.row[self.traded]
        groups = self.industry[self.traded]
        percentiles = []
        session = Panel.from_columns(
            [code for code, traded in zip(self.codes, self.traded, strict=True) if traded],
            np.full(len(rows), self.session),
            {"close": np.ones(len(rows))},
        )
        for name in STYLES:
            ranks = 100 * session_ranks(session, self.factors[name][self.traded])
            percentiles.append([_number(_median(ranks[groups == group])) for group in range(len(INDUSTRIES))])
        return {
            "industries": list(INDUSTRIES),
            "styles": list(STYLES),
            "stocks": np.bincount(groups, minlength=len(INDUSTRIES)).tolist(),
            "percentile": [list(column) for column in zip(*percentiles, strict=True)],
        }

    def coverage(self) -> list[dict[str, Any]]:
        """Per kind of fact: of how many stocks something is known, of how many not, and from when to when."""
        known = {name: self.reference.as_of(name, self.session) for name in FACTS}
        # Industries count from their first day, as the conditions read them.
        industries, rows = self.industry_rows
        told = []
        for name, facts in known.items():
            mine = facts.take(np.isin(facts["code"], self.codes) if len(facts) else slice(0, 0))
            days = mine["known_from"]
            count = len(np.unique(mine["code"]))
            if name == "industries":
                count = int((rows >= 0).sum())
                days = industries.counts_from[np.isin(industries.facts["code"], self.codes)]
                days = days[days <= self.session]
            days = days[days > np.datetime64("0001-01-01")]
            told.append(
                {
                    "fact": name,
                    "known": count,
                    "unknown": None if name in EVENTS else len(self.codes) - count,
                    "rows": len(mine) if name != "industries" else len(days),
                    "from": str(days.min()) if len(days) else None,
                    "to": str(days.max()) if len(days) else None,
                }
            )
        bars = self.panel.session_index[self.panel.offsets[self.panel.code_index[self.row]]]
        told.append(
            {
                "fact": "bars",
                "known": len(self.codes),
                "unknown": 0,
                "rows": int((self.row - self.panel.offsets[self.panel.code_index[self.row]] + 1).sum()),
                "from": str(self.panel.sessions[bars.min()]) if len(bars) else None,
                "to": str(self.session),
            }
        )
        return told

    def stock_table(self) -> dict[str, Any]:
        """{"columns", "rows"}: one row a stock; fractions as fractions, unknown numbers as None."""
        names = self.reference.read("stock_list")
        name_of = dict(zip(names["code"].tolist(), names["name"].tolist(), strict=True))
        earnings, book = self.yields
        with np.errstate(divide="ignore"):
            ratios = {
                "pe": np.where(earnings > 0, 1 / earnings, np.nan),
                "pb": np.where(book > 0, 1 / book, np.nan),
            }
        numbers = {
            "close": self.column("raw_close").astype(np.float64),
            "market_cap_cny": self.market_cap,
            "return_1": self.past_return(1),
            "return_20": self.past_return(20),
            "turnover": self.factors["style_liquidity"],
            "volatility": self.factors["style_volatility"],
            "momentum": self.factors["style_momentum"],
            **ratios,
        }
        words = {name: [self.panel.names(name)[value] for value in self.column(name)] for name in STYLES}
        columns: dict[str, list[Any]] = {
            "code": self.codes,
            "name": [name_of.get(code, "") for code in self.codes],
            "industry": [INDUSTRIES[group] for group in self.industry],
            "source_industry": self.source_names,
            **{name: [_number(value) for value in values] for name, values in numbers.items()},
            **words,
            "is_st": self.is_st.tolist(),
            "is_suspended": (~self.traded).tolist(),
            "last_session": [str(self.panel.sessions[k]) for k in self.panel.session_index[self.row]],
        }
        return {
            "columns": list(columns),
            "rows": [list(row) for row in zip(*columns.values(), strict=True)],
        }


def regime_timeline(panel: Panel, position: int, settings: ConditionSettings) -> dict[str, Any]:
    """The index up to session `position` and the panel's regime of each of its bars.

    "now", "since" and "sessions" speak of the last one; `regime` holds positions in `names`. Without an
    index the arrays are empty and the regime is unknown.
    """
    bars = choose_index(panel, settings.index, panel.sessions[position])
    names = list(panel.names("regime"))
    if bars is None or not len(bars.up_to(panel.sessions[position])):
        return {"index": None, "now": REGIMES[0], "since": None, "sessions": 0, "names": names, "date": []}
    bars = bars.up_to(panel.sessions[position])
    rows, offsets = panel.session_rows()
    of_session = panel.column("regime")[rows[offsets[:-1]]]
    at = np.searchsorted(panel.sessions, bars.date)
    inside = (at < len(panel.sessions)) & (
        panel.sessions[np.minimum(at, len(panel.sessions) - 1)] == bars.date
    )
    labels = np.where(inside, of_session[np.minimum(at, len(panel.sessions) - 1)], 0).astype(np.int8)
    since = current_spell(labels)
    return {
        "index": bars.code,
        "now": names[int(labels[-1])],
        "since": str(bars.date[since]),
        "sessions": len(labels) - since,
        "bars": len(bars),
        "names": names,
        "date": bars.date.astype(str).tolist(),
        **{
            name: [round(float(value), 3) for value in getattr(bars, name)]
            for name in ("open", "high", "low", "close")
        },
        "regime": labels.tolist(),
    }


def _number(value: Any) -> float | None:
    """A float of six significant digits for JSON; None for what is not known."""
    return float(f"{float(value):.6g}") if np.isfinite(value) else None


def _known(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _sum(values: FloatArray) -> float:
    known = _known(values)
    return float(known.sum()) if len(known) else np.nan


def _mean(values: FloatArray) -> float:
    known = _known(values)
    return float(known.mean()) if len(known) else np.nan


def _median(values: FloatArray) -> float:
    known = _known(values)
    return float(np.median(known)) if len(known) else np.nan
