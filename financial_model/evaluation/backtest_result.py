"""A backtest told once: JSON-like figures with their errors, against the index, costs, what was blocked."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..base.config import BacktestSettings
from ..base.errors import CodeNotHeld
from ..market.calendar import SESSIONS_A_YEAR
from .backtest import Backtest
from .headline import SIGNIFICANT_T
from .information_coefficient import finite_or_none, mean_over_sessions

if TYPE_CHECKING:
    from ..data.panel import Panel

Floats = NDArray[np.float64]
Json = dict[str, Any]

# An order that takes more than this share of a stock's turnover of the day would move its price.
PARTICIPATION = 0.05
MINUS = "\N{MINUS SIGN}"


def tell_backtest(
    run: Backtest, panel: "Panel", settings: BacktestSettings, name: str, facts: Json | None = None
) -> Json:
    """The whole result as JSON-like values; kind "backtest"."""
    equity = run.equity / settings.cash_cny
    returns = _returns(equity)
    index = index_curve(panel, settings.index, run.sessions)
    index_returns = _returns(index)
    universe = universe_curve(run, panel)
    universe_returns = _returns(universe)
    summary = {
        "portfolio": _performance(equity, returns),
        "index": _performance(index, index_returns),
        "universe": _performance(universe, universe_returns),
        "excess": _excess(returns - index_returns),
        "excess_universe": _excess(returns - universe_returns),
        **_trading(run),
    }
    result: Json = {
        "kind": "backtest",
        "name": name,
        "first": str(run.sessions[0]),
        "last": str(run.sessions[-1]),
        "session_count": len(run.sessions),
        "stock_count": int(np.isfinite(run.market.score).any(axis=0).sum()),
        "index": settings.index,
        "is_simulated": bool(panel.is_simulated),
        "data_fingerprint": str(panel.fingerprint),
        "settings": {"backtest": settings.to_json(), **(facts or {})},
        "summary": summary,
        "blocked": dict(run.blocked),
        "orders": {
            "bought": sum(one.shares > 0 for one in run.trades),
            "sold": sum(one.shares < 0 and one.price > 0 for one in run.trades),
            "blocked": sum(run.blocked.values()),
        },
        "costs": _costs(run),
        "capacity": capacity(run, settings),
        "by_year": _by_year(run.sessions, returns, index_returns),
        "curve": {
            "session": [str(day) for day in run.sessions],
            "equity": equity.round(6).tolist(),
            "index": _listed(index),
            "universe": _listed(universe),
            "drawdown": _drawdown(equity).round(6).tolist(),
            "turnover": (run.traded / run.equity).round(6).tolist(),
            "held": run.held.tolist(),
            "cash_share": (run.cash / run.equity).round(6).tolist(),
        },
    }
    result["headline"] = headline(result)
    return result


def index_curve(panel: "Panel", code: str, sessions: NDArray[np.datetime64]) -> Floats:
    """Close of an index on each session over its close on the first; the last known one where it has none.

    All NaN where the panel does not hold the index.
    """
    try:
        bars = panel.index_bars(code)
    except CodeNotHeld:
        return np.full(len(sessions), np.nan)
    place = np.searchsorted(bars.date, sessions, side="right") - 1
    close = np.where(place >= 0, bars.close[np.maximum(place, 0)], np.nan)
    known = close[np.isfinite(close)]
    return close / known[0] if len(known) else close


def universe_curve(run: Backtest, panel: "Panel") -> Floats:
    """The stocks scored so far in equal parts each session, dividends in, costs out; 1 on the first session.

    What the pool itself earned: an index of large stocks may have gone another way. A stock is in from the
    session after its first score, stands still while suspended, and leaves at its last close when delisted.
    The book writes such a stock off, so the comparison errs against the portfolio.
    """
    first, count = int(np.searchsorted(panel.sessions, run.sessions[0])), len(run.sessions)
    session: NDArray[np.int64] = panel.session_index.astype(np.int64) - first
    rows = np.flatnonzero((session >= 0) & (session < count))
    close = np.full((count, len(panel.codes)), np.nan)
    close[session[rows], panel.code_index[rows]] = panel.column("close")[rows]
    change = np.zeros((count - 1, close.shape[1]))
    known = close[0]
    for place, today in enumerate(close[1:]):
        now = np.where(np.isfinite(today), today, known)
        change[place], known = now / known - 1, now
    is_listed = np.arange(1, count)[:, None] < run.market.delisted
    is_in = np.logical_or.accumulate(np.isfinite(run.market.score), axis=0)[:-1] & is_listed
    total = np.where(is_in, change, 0.0).sum(axis=1)
    mean = total / np.maximum(is_in.sum(axis=1), 1)
    return np.asarray(np.cumprod(np.r_[1.0, 1 + mean]), np.float64)


def _excess(difference: Floats) -> Json:
    """Mean daily excess with its Newey-West error, and both over a year."""
    mean = mean_over_sessions(difference[1:])
    return mean.to_json() | {
        "annualised": finite_or_none(mean.mean * SESSIONS_A_YEAR),
        "annualised_se": finite_or_none(mean.se * SESSIONS_A_YEAR),
    }


def _returns(curve: Floats) -> Floats:
    returns = np.zeros(len(curve))
    returns[1:] = curve[1:] / curve[:-1] - 1
    return returns


def _drawdown(curve: Floats) -> Floats:
    return curve / np.fmax.accumulate(curve) - 1


def _performance(curve: Floats, returns: Floats) -> Json:
    """Return, volatility and worst loss of a curve that starts at 1."""
    if not np.isfinite(curve[-1]):
        return dict.fromkeys(("total", "annualised", "volatility", "sharpe", "max_drawdown"))
    years = max(len(curve) - 1, 1) / SESSIONS_A_YEAR
    volatility = float(np.std(returns[1:]) * np.sqrt(SESSIONS_A_YEAR)) if len(curve) > 1 else float("nan")
    mean = float(np.mean(returns[1:]) * SESSIONS_A_YEAR) if len(curve) > 1 else float("nan")
    return {
        "total": finite_or_none(float(curve[-1] - 1)),
        "annualised": finite_or_none(float(max(curve[-1], 0.0) ** (1 / years) - 1)),
        "volatility": finite_or_none(volatility),
        "sharpe": finite_or_none(mean / volatility) if volatility > 0 else None,
        "max_drawdown": finite_or_none(float(_drawdown(curve).min())),
    }


def _trading(run: Backtest) -> Json:
    sessions = max(len(run.sessions) - 1, 1)
    return {
        "turnover": finite_or_none(float(np.mean(run.traded[1:] / run.equity[1:]))) if sessions else None,
        "mean_held": float(run.held[1:].mean()) if len(run.held) > 1 else 0.0,
        "cash_share": finite_or_none(float(np.mean(run.cash[1:] / run.equity[1:]))),
        "write_offs_cny": float(run.write_offs),
    }


def _costs(run: Backtest) -> Json:
    """CNY by kind, and what all of it took from the equity in a year."""
    kinds = {
        "commission": sum(one.commission for one in run.trades),
        "exchange_fees": sum(one.exchange_fees for one in run.trades),
        "dividend_tax": sum(one.dividend_tax for one in run.trades),
        "slippage": run.slippage,
    }
    total = sum(kinds.values())
    years = max(len(run.sessions) - 1, 1) / SESSIONS_A_YEAR
    share = total / float(run.equity.mean()) / years
    return {
        **{name: float(value) for name, value in kinds.items()},
        "total": float(total),
        "yearly_share": share,
    }


def capacity(run: Backtest, settings: BacktestSettings) -> Json:
    """How large a purse the same orders could carry, by each order's share of the day's turnover.

    `purse_cny` is the starting cash at which 95 of 100 orders stay below PARTICIPATION; a hint, since a
    larger purse would also trade differently.
    """
    orders = [one for one in run.trades if one.price > 0]
    amounts = np.array([run.market.amount[one.session, one.code] for one in orders], float)
    traded = np.abs(np.array([one.amount for one in orders], float))
    usable = np.isfinite(amounts) & (amounts > 0)
    if not usable.any():
        return {"participation": PARTICIPATION, "median": None, "p95": None, "purse_cny": None}
    share = traded[usable] / amounts[usable]
    high = float(np.quantile(share, 0.95))
    return {
        "participation": PARTICIPATION,
        "median": float(np.median(share)),
        "p95": high,
        "purse_cny": float(settings.cash_cny * PARTICIPATION / high) if high > 0 else None,
    }


def _by_year(sessions: NDArray[np.datetime64], returns: Floats, index: Floats) -> list[Json]:
    years = sessions.astype("datetime64[Y]")
    rows = []
    for year in np.unique(years):
        mine = years == year
        rows.append(
            {
                "name": str(year),
                "sessions": int(mine.sum()),
                "return": finite_or_none(float(np.prod(1 + returns[mine]) - 1)),
                "index": finite_or_none(float(np.prod(1 + index[mine]) - 1)),
                "max_drawdown": finite_or_none(float(_drawdown(np.cumprod(1 + returns[mine])).min())),
            }
        )
    return rows


def _listed(values: Floats) -> list[float | None]:
    return [finite_or_none(value) for value in np.round(values, 6)]


def headline(result: Json) -> Json:
    """One sentence: return after costs, the excess over the index with its error, and whether it is luck."""
    portfolio, excess = result["summary"]["portfolio"], result["summary"]["excess"]
    t = excess["t"]
    verdict = "chance" if t is None or abs(t) < SIGNIFICANT_T else "above" if t > 0 else "below"
    earned = _percent(portfolio["annualised"])
    if excess["annualised"] is None or excess["annualised_se"] is None:
        english = f"{earned} a year after costs; there is no index to compare with."
        return {"verdict": "chance", "en": english, "zh": f"扣除费用后年化 {earned}；没有可比的指数。"}
    gap = f"{_percent(excess['annualised'])} ± {100 * excess['annualised_se']:.1f} %"
    index = result["index"]
    english = {
        "above": f"{earned} a year after costs, ahead of {index} by {gap} a year (t = {t:.1f}).",
        "below": f"{earned} a year after costs, behind {index} by {gap} a year (t = {t or 0:.1f}).",
        "chance": f"{earned} a year after costs; the excess over {index}, {gap} a year, "
        "is indistinguishable from chance.",
    }[verdict]
    chinese = {
        "above": f"扣除费用后年化 {earned}，年化超额（对 {index}）{gap}，明显高于指数。",
        "below": f"扣除费用后年化 {earned}，年化超额（对 {index}）{gap}，明显低于指数。",
        "chance": f"扣除费用后年化 {earned}，年化超额（对 {index}）{gap}，与随机无法区分。",
    }[verdict]
    return {"verdict": verdict, "en": english, "zh": chinese}


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %".replace("-", MINUS)
