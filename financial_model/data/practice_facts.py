"""What the sources of a practice market would publish: its reference tables, column by column."""

from collections import defaultdict
from datetime import date
from typing import Any

import numpy as np

from ..base.config import INDUSTRIES
from .practice_companies import Companies
from .practice_law import BOARDS, SHENWAN
from .practice_walk import MarketWalk

Columns = dict[str, list[Any]]


def published_facts(companies: Companies, walk: MarketWalk, seed: int) -> dict[str, Columns]:
    """Table name -> column name -> values, as `ReferenceStore.write` takes them."""
    rng = np.random.default_rng([seed, 0xFA])
    list_dates = _list_dates(companies, rng)
    return {
        "stock_list": _stock_list(companies, walk, list_dates),
        "industries": _industries(companies, list_dates, rng),
        "share_capital": _share_capital(companies, walk, list_dates),
        "corporate_actions": _corporate_actions(companies, walk),
        "st_periods": _st_periods(companies),
        "fundamentals": _fundamentals(companies, walk, rng),
    }


def _day(companies: Companies, position: int) -> str:
    return str(companies.sessions[position])


def _table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> Columns:
    return {name: [row[k] for row in rows] for k, name in enumerate(names)}


def _list_dates(companies: Companies, rng: np.random.Generator) -> list[str]:
    """The first session, or for those listed before the market begins a day before it."""
    days_before = rng.integers(200, 4000, len(companies))
    earliest = [np.datetime64(BOARDS[board].first, "D") for board in companies.board]
    return [
        _day(companies, first) if first else str(max(companies.sessions[0] - int(days), start))
        for first, days, start in zip(companies.listed, days_before, earliest, strict=True)
    ]


def _stock_list(companies: Companies, walk: MarketWalk, list_dates: list[str]) -> Columns:
    length = len(companies.sessions)
    return {
        "code": list(companies.codes),
        "name": [f"练习{k + 1:04d}" for k in range(len(companies))],
        "list_date": list_dates,
        "delist_date": [_day(companies, d - 1) if d < length else "" for d in walk.delisted],
    }


def _industries(companies: Companies, list_dates: list[str], rng: np.random.Generator) -> Columns:
    rows = []
    changes = {row: (when, group) for row, when, group in companies.industry_changes}
    for row, code in enumerate(companies.codes):
        first_group = int(companies.industry[row, 0])
        spans = [(list_dates[row], "", first_group)]
        if row in changes:
            when, group = changes[row]
            day = _day(companies, when)
            spans = [(list_dates[row], day, first_group), (day, "", group)]
        for since, until, group in spans:
            options = SHENWAN[INDUSTRIES[group]]
            source_code, name = options[int(rng.integers(len(options)))]
            rows.append((code, since, until, "SW2021", name, source_code, since))
    return _table(("code", "from", "to", "scheme", "industry", "source_code", "updated"), rows)


def _share_capital(companies: Companies, walk: MarketWalk, list_dates: list[str]) -> Columns:
    rows = sorted(
        (companies.codes[k], list_dates[k] if t < 0 else _day(companies, t), n, companies.float_share[k])
        for k, t, n in walk.share_rows
    )
    return _table(
        ("code", "date", "total_shares", "float_shares"),
        [(code, day, int(total), int(total * share)) for code, day, total, share in rows],
    )


def _corporate_actions(companies: Companies, walk: MarketWalk) -> Columns:
    rows = sorted(
        (companies.codes[k], _day(companies, t), *terms)
        for k, t, *terms in walk.action_rows
        if t < walk.delisted[k]
    )
    return _table(("code", "date", "cash_per_10", "bonus_per_10", "rights_per_10", "rights_price"), rows)


def _st_periods(companies: Companies) -> Columns:
    last = len(companies.sessions) - 1
    rows = sorted(
        (companies.codes[k], _day(companies, start), _day(companies, end + 1) if end < last else "")
        for k, start, end in companies.st_spells
    )
    return _table(("code", "from", "to"), rows)


def _fundamentals(companies: Companies, walk: MarketWalk, rng: np.random.Generator) -> Columns:
    """Earnings of the year so far and book value per share, announced weeks after the quarter's end."""
    sessions = companies.sessions
    first_close = walk.close[companies.listed, np.arange(len(companies))]
    price_to_book = np.exp(rng.normal(np.log(2.2), 0.5, len(companies)))
    book = first_close * companies.total_shares / price_to_book
    return_on_book = rng.normal(0.08, 0.07, len(companies))
    shares_of = defaultdict(list)
    for row, t, total in walk.share_rows:
        shares_of[row].append((t, total))
    first_year, last_year = sessions[0].astype(date).year - 2, sessions[-1].astype(date).year
    rows = []
    for row, code in enumerate(companies.codes):
        equity = book[row]
        for year in range(first_year, last_year + 1):
            yearly = return_on_book[row] * equity * np.exp(0.25 * rng.standard_normal())
            earned = 0.0
            for quarter, (month, day) in enumerate(((3, 31), (6, 30), (9, 30), (12, 31))):
                earned += yearly * (0.25 + 0.03 * rng.standard_normal())
                period = np.datetime64(date(year, month, day), "D")
                announced = period + int(rng.integers(15, (30, 60, 30, 115)[quarter]))
                position = int(np.searchsorted(sessions, announced))
                if position >= min(walk.delisted[row], len(sessions)):
                    continue
                shares = [total for t, total in shares_of[row] if t <= position][-1]
                per_share = (round(earned / shares, 4), round((equity + earned) / shares, 4))
                rows.append((code, str(announced), str(period), *per_share))
            equity = max(equity + 0.7 * earned, 0.2 * equity)
    return _table(("code", "announced", "period", "eps_cny", "book_value_per_share_cny"), rows)
