"""A panel of a few stocks made from arrays, with the members that evaluation reads."""

from types import SimpleNamespace

import numpy as np

from financial_model.market.rules import closes_at_limit


def make_sessions(count: int, first: str = "2018-01-01") -> np.ndarray:
    """Weekdays from `first` on."""
    return np.busday_offset(first, np.arange(count), roll="forward").astype("datetime64[D]")


class MadePanel:
    """Bars given as (C, S) arrays; a NaN close is a session without a bar (suspended, not listed)."""

    def __init__(
        self,
        close: np.ndarray,
        *,
        codes: list[str] | None = None,
        sessions: np.ndarray | None = None,
        index_close: np.ndarray | None = None,
        vocabulary: dict[str, list[str]] | None = None,
        **columns: np.ndarray,
    ) -> None:
        close = np.asarray(close, float)
        stocks, count = close.shape
        self.codes = codes or [f"SH{600000 + k}" for k in range(stocks)]
        self.sessions = make_sessions(count) if sessions is None else sessions
        present = np.isfinite(close)
        self.code_index, self.session_index = (a.astype(np.int32) for a in np.nonzero(present))
        self.offsets = np.r_[0, np.cumsum(present.sum(axis=1))]
        nothing = np.full(close.shape, np.nan)
        dense = {
            "close": close,
            "open": close,
            "high": close,
            "low": close,
            "raw_close": close,
            "volume": np.full(close.shape, 1e6),
            "amount": close * 1e6,
            "factor": np.ones(close.shape),
            "reference_close": nothing,
            "limit_up": nothing,
            "limit_down": nothing,
            "is_st": np.zeros(close.shape, np.int8),
            "float_shares": nothing,
            "total_shares": nothing,
        }
        self._vocabulary = {
            "industry": ["unknown", "finance", "technology"],
            "regime": ["unknown", "bull", "bear", "sideways", "volatile"],
            "style_size": ["unknown", "q1", "q2", "q3", "q4", "q5"],
            **(vocabulary or {}),
        }
        for name in self._vocabulary:
            dense[name] = np.zeros(close.shape, np.int8)
        dense |= {name: np.broadcast_to(np.asarray(value), close.shape) for name, value in columns.items()}
        locked = closes_at_limit(dense["raw_close"], dense["limit_down"], dense["limit_up"])
        dense.setdefault("is_locked", locked.astype(np.int8))
        self._columns = {name: np.ascontiguousarray(value[present]) for name, value in dense.items()}
        self._index_close = index_close if index_close is not None else np.full(count, 3000.0)
        self.fingerprint = "made"
        self.is_simulated = False
        self.last_session = self.sessions[-1]

    def column(self, name: str) -> np.ndarray:
        return self._columns[name]

    def names(self, condition: str) -> list[str]:
        return self._vocabulary[condition]

    def rows_of(self, code: str) -> slice:
        position = self.codes.index(code)
        return slice(int(self.offsets[position]), int(self.offsets[position + 1]))

    def rows_at(self, session: int) -> np.ndarray:
        return np.flatnonzero(self.session_index == session)

    def index_bars(self, code: str) -> SimpleNamespace:
        close = self._index_close
        return SimpleNamespace(date=self.sessions, open=close, high=close, low=close, close=close)


def make_walk(
    stocks: int = 40, sessions: int = 120, seed: int = 0, suspended: float = 0.0, **columns
) -> MadePanel:
    """Geometric random walks, with a share of bars missing at random."""
    rng = np.random.default_rng(seed)
    close = 10 * np.exp(np.cumsum(rng.normal(0, 0.02, (stocks, sessions)), axis=1))
    close[rng.random(close.shape) < suspended] = np.nan
    return MadePanel(close, **columns)
