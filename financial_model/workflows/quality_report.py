"""Store and panel -> how good the data is: findings, returns on ex-days, the largest moves.

    python -m financial_model.workflows.quality_report --workspace W

prints the measured part of docs/QUALITY.md from the report of the bars that came in and the panel.
"""

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.workspace import Workspace
from ..data.panel import Panel
from ..data.quality import QualityReport
from ..data.reference_store import Facts, ReferenceStore

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
LARGEST = 20
SEASONED = 60  # sessions after a stock's first bar
NEAR_LIMIT = 0.005
Returns = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def quality_report(workspace: Workspace) -> dict[str, Any]:
    """JSON-like: `findings` in the bars that came in, `returns` by kind of day, the largest `moves`.

    Returns are close / reference - 1, less the session's mean over all stocks. They are given for ex-days of
    cash alone, for ex-days with new shares, and for all other days, the first sessions of a stock left out;
    "unadjusted" is what raw prices would show. `limit_hits` asks the market itself whether the references
    are right: of the closes near a limit, how many are, to the tick, the limit that follows from it.
    """
    panel, report = Panel.open(workspace), QualityReport.read(workspace)
    close, reference = panel.column("raw_close"), panel.column("reference_close")
    total = close / reference - 1
    previous = np.concatenate([[np.nan], close[:-1]])
    previous[panel.offsets[:-1]] = np.nan
    # New listings rise by the limit for days on end, which says nothing about ex-days.
    known = np.isfinite(total) & (np.arange(len(panel)) - panel.offsets[panel.code_index] >= SEASONED)
    market = session_means(panel, total, known)[panel.session_index]
    cash, shares = ex_days(panel, ReferenceStore(workspace).read("corporate_actions"))
    days = {"cash ex-days": cash & known, "ex-days with new shares": shares & known}
    days["all other days"] = known & ~cash & ~shares
    returns = {name: describe_returns((total - market)[rows]) for name, rows in days.items()}
    unadjusted = close / previous - 1 - market
    returns["cash ex-days, unadjusted"] = describe_returns(unadjusted[days["cash ex-days"]])
    return {
        "stocks": len(panel.codes),
        "bars": len(panel),
        "findings": report.summary()["findings"],
        "returns": returns,
        "limit_hits": {name: limit_hits(panel, total, rows) for name, rows in days.items()},
        "moves": largest_moves(panel, total),
    }


def session_means(panel: Panel, values: Returns, known: Mask) -> Returns:
    """(S,) the mean of a column over the known rows of each session, NaN where there are none."""
    index = panel.session_index[known]
    count = np.bincount(index, minlength=len(panel.sessions))
    total = np.bincount(index, values[known], minlength=len(panel.sessions))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)


def limit_hits(panel: Panel, total: Returns, rows: Mask) -> dict[str, int]:
    """Closes whose return lies near the limit, and how many of them are the limit to the tick."""
    close = panel.column("raw_close")
    near = exact = 0
    for name, side in (("limit_up", 1), ("limit_down", -1)):
        limit = panel.column(name)
        with np.errstate(invalid="ignore"):
            close_by = rows & (side * (total - (limit / panel.column("reference_close") - 1)) > -NEAR_LIMIT)
        near += int(close_by.sum())
        exact += int((np.abs(close - limit) < 0.005)[close_by].sum())
    return {"near": near, "exact": exact}


def ex_days(panel: Panel, actions: Facts) -> tuple[Mask, Mask]:
    """(cash alone, with new shares): rows (N,) on which such an action went ex and the stock traded."""
    cash, shares = np.zeros(len(panel), dtype=bool), np.zeros(len(panel), dtype=bool)
    for code in panel.codes:
        mine, rows = actions.of(code), panel.rows_of(code)
        days = panel.sessions[panel.session_index[rows]]
        with_shares = np.nan_to_num(mine["bonus_per_10"]) + np.nan_to_num(mine["rights_per_10"]) != 0
        shares[rows] = np.isin(days, mine["date"][with_shares])
        cash[rows] = np.isin(days, mine["date"][~with_shares]) & ~shares[rows]
    return cash, shares


def describe_returns(values: Returns) -> dict[str, float]:
    """Count, mean with its standard error, standard deviation and quantiles of daily returns."""
    if len(values) < 2:
        return {"count": len(values)}
    spread = float(values.std(ddof=1))
    levels = {f"q{100 * level:02.0f}": float(np.quantile(values, level)) for level in QUANTILES}
    error = spread / len(values) ** 0.5
    return {"count": len(values), "mean": float(values.mean()), "mean_error": error, "sd": spread} | levels


def largest_moves(panel: Panel, total: Returns) -> list[dict[str, Any]]:
    """The largest moves from the reference that the board's limit does not allow, largest first."""
    close = panel.column("raw_close")
    factor = panel.column("factor")
    with np.errstate(invalid="ignore"):
        high = panel.column("high") / factor > panel.column("limit_up") + 0.005
        low = panel.column("low") / factor < panel.column("limit_down") - 0.005
    rows = np.flatnonzero(high | low)
    found = []
    for row in rows[np.argsort(-np.abs(total[rows]))][:LARGEST]:
        found.append(
            {
                "code": panel.codes[panel.code_index[row]],
                "date": str(panel.sessions[panel.session_index[row]]),
                "reference": float(panel.column("reference_close")[row]),
                "close": float(close[row]),
                "return": float(total[row]),
            }
        )
    return found


def as_markdown(result: dict[str, Any]) -> str:
    """The report as the tables of docs/QUALITY.md."""
    lines = [f"{result['stocks']:,} stocks, {result['bars']:,} bars.", ""]
    lines += ["| finding | rows | codes | outcome |", "| --- | --- | --- | --- |"]
    for name, made in result["findings"].items():
        lines.append(f"| {name} | {made['count']} | {made['codes']} | {made['outcome']} |")
    heads = ["n", "mean (s.e.)", "sd", *(f"{100 * level:g} %" for level in QUANTILES)]
    lines += [
        "",
        f"| return in % less the session's mean | {' | '.join(heads)} |",
        "| --- " * (len(heads) + 1) + "|",
    ]
    for name, told in result["returns"].items():
        if told["count"] < 2:
            continue
        cells = [f"{told['count']:,}", f"{100 * told['mean']:+.3f} ({100 * told['mean_error']:.3f})"]
        cells += [f"{100 * told['sd']:.2f}", *(f"{100 * told[f'q{100 * q:02.0f}']:+.2f}" for q in QUANTILES)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| closes near a limit | n | at the limit to the tick |", "| --- | --- | --- |"]
    for name, hits in result["limit_hits"].items():
        share = f" ({100 * hits['exact'] / hits['near']:.1f} %)" if hits["near"] else ""
        lines.append(f"| {name} | {hits['near']:,} | {hits['exact']:,}{share} |")
    lines += ["", "| code | session | reference | close | return |", "| --- | --- | --- | --- | --- |"]
    for move in result["moves"]:
        lines.append(
            f"| {move['code']} | {move['date']} | {move['reference']:.2f} | {move['close']:.2f} "
            f"| {100 * move['return']:+.1f} % |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workspace", default=".")
    print(as_markdown(quality_report(Workspace(parser.parse_args().workspace))))
