"""The companies of a practice market: what is drawn before its first session."""

import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES
from ..market.rules import limit_thousandths, to_ticks
from .practice_law import BOARDS, INDUSTRY_SHARES, SEASONING

FloatArray = npt.NDArray[np.float64]


class Companies:
    """Codes, boards, industries and habits of C companies over S sessions; arrays are (C,) unless told.

    codes        sorted
    board        position in BOARDS
    listed       position of the first session
    industry     (C, S) int8, position in INDUSTRIES as of each session
    industry_changes  (row, position of the session, new industry)
    beta, own_volatility (a session), turnover (a session, of the float), pays (dividends)
    first_price  CNY; total_shares, float_share (of the total)
    is_st        (C, S)
    st_spells    (row, first, last) positions
    limit        (C, S) int64, daily price limit in thousandths of the reference
    """

    def __init__(self, count: int, sessions: npt.NDArray[np.datetime64], rng: np.random.Generator) -> None:
        self.count, self.sessions = count, sessions
        self._draw_listings(rng)
        self._draw_industries(rng)
        self._draw_habits(rng)
        self._draw_st(rng)

    def __len__(self) -> int:
        return self.count

    def _draw_listings(self, rng: np.random.Generator) -> None:
        count, length = self.count, len(self.sessions)
        first = np.array(
            [np.searchsorted(self.sessions, np.datetime64(board.first, "D")) for board in BOARDS]
        )
        pool = [
            (k, f"{prefix}{number:03d}")
            for k, board in enumerate(BOARDS)
            for prefix in board.prefixes
            for number in range(1, 1000)
        ]
        boards = np.array([k for k, _ in pool])
        weight = np.array([board.share / len(board.prefixes) for board in BOARDS]) * (first < length - 60)
        weight = weight[boards] / weight[boards].sum()
        drawn = rng.choice(len(pool), count, replace=False, p=weight)
        board = boards[drawn]
        listed = np.where(rng.random(count) < 0.3, rng.integers(1, max(2, int(length * 0.85)), count), 0)
        earliest = np.where(first[board] > 0, first[board] + rng.integers(0, 250, count), 0)
        listed = np.minimum(np.maximum(listed, earliest), length - 60)
        codes = [pool[k][1] for k in drawn]
        order = np.argsort(codes)
        self.codes = [codes[k] for k in order]
        self.board, self.listed = board[order], listed[order]

    def _draw_industries(self, rng: np.random.Generator) -> None:
        count, length = self.count, len(self.sessions)
        quantile = (np.arange(count) + 0.5) / count
        groups = np.searchsorted(INDUSTRY_SHARES.cumsum(), quantile).clip(0, len(INDUSTRIES) - 1)
        rng.shuffle(groups)
        self.industry = np.repeat(groups[:, None].astype(np.int8), length, axis=1)
        self.industry_changes: list[tuple[int, int, int]] = []
        for k in np.flatnonzero(rng.random(count) < 0.03):
            when = int(rng.integers(length // 4, length))
            target = int(rng.integers(len(INDUSTRIES)))
            if when > self.listed[k] and target != groups[k]:
                self.industry[k, when:] = target
                self.industry_changes.append((int(k), when, target))

    def _draw_habits(self, rng: np.random.Generator) -> None:
        count = self.count
        self.beta = np.clip(rng.normal(1.0, 0.25, count), 0.3, 1.9)
        self.own_volatility = np.clip(np.exp(rng.normal(np.log(0.021), 0.25, count)), 0.01, 0.04)
        self.first_price = to_ticks(np.exp(rng.normal(np.log(18.0), 0.6, count)).clip(3.0, 300.0)) / 100.0
        self.total_shares = np.round(np.exp(rng.normal(np.log(6e8), 1.0, count)), -4)
        self.float_share = rng.uniform(0.3, 1.0, count).round(2)
        self.turnover = np.exp(rng.normal(np.log(0.012), 0.5, count))
        self.pays = rng.random(count) < 0.65

    def _draw_st(self, rng: np.random.Generator) -> None:
        length = len(self.sessions)
        self.is_st = np.zeros((self.count, length), bool)
        self.st_spells: list[tuple[int, int, int]] = []
        for k in np.flatnonzero(rng.random(self.count) < 0.05):
            start = int(rng.integers(self.listed[k], length))
            end = min(start + int(rng.integers(120, 500)), length - 1)
            if start > self.listed[k] + SEASONING:
                self.st_spells.append((int(k), start, end))
                self.is_st[k, start : end + 1] = True
        self.limit = np.empty((self.count, length), np.int64)
        for row, board in enumerate(self.board):
            self.limit[row] = limit_thousandths(BOARDS[board].rules, self.sessions, self.is_st[row])

    def draw_actions(self, rng: np.random.Generator) -> dict[int, list[tuple[int, float, float, float]]]:
        """session position -> (row, cash yield, bonus per 10, rights per 10), between May and July."""
        years = self.sessions.astype("datetime64[Y]").astype(int) + 1970
        months = self.sessions.astype("datetime64[M]").astype(int) % 12 + 1
        actions: dict[int, list[tuple[int, float, float, float]]] = {}
        for year in range(years[0], years[-1] + 1):
            season = np.flatnonzero((years == year) & (months >= 5) & (months <= 7))
            if not len(season):
                continue
            when = season[rng.integers(0, len(season), self.count)]
            cash = np.where(
                self.pays & (rng.random(self.count) < 0.9), rng.uniform(0.003, 0.035, self.count), 0.0
            )
            bonus = np.where(
                rng.random(self.count) < 0.10, rng.choice([2.0, 3.0, 4.0, 5.0, 10.0], self.count), 0.0
            )
            rights = np.where(rng.random(self.count) < 0.008, rng.choice([2.0, 3.0], self.count), 0.0)
            for k in np.flatnonzero(cash + bonus + rights > 0):
                actions.setdefault(int(when[k]), []).append(
                    (int(k), float(cash[k]), float(bonus[k]), float(rights[k]))
                )
        return actions
