"""The law of the practice market: what every seed shares. What differs between seeds is chance.

A hidden Markov chain of four sticky regimes drives the drift and the volatility of the index and the weights
of a planted signal. The signal of stock i, formed at the close of session t and paid from the close of t+1 to
the close of t+2 (the tradable label), is

    s[i, t] = sum over f of REGIME_WEIGHTS[regime[t+2], f] * INDUSTRY_WEIGHTS[industry[i], f] * z_f[i, t]

with f one of short reversal, momentum and signed volume shock, each standardised within the session, and
a two-day lead-lag between industries is added to it. Everything else is noise of a plausible kind: betas,
industry moves, clustered volatility, Student-t shocks, limits whose excess spills over, suspensions,
listings, delistings, dividends and bonus shares.

Log returns carry -variance/2 and betas load on surprises alone, so that without a signal all stocks have
the same expected simple return: at `signal` zero nothing tells them apart.
"""

from datetime import date
from typing import NamedTuple

import numpy as np

from ..base.config import INDUSTRIES

FIRST_SESSION = date(1990, 12, 19)
LAST_SESSION = date(2024, 12, 31)

REGIMES = ("bull", "bear", "sideways", "volatile")
INDEX_DRIFT = np.array([0.0022, -0.0022, 0.0, -0.0004])  # log return a session
INDEX_VOLATILITY = np.array([0.011, 0.014, 0.007, 0.024])
STOCK_VOLATILITY = np.array([1.0, 1.05, 0.85, 1.35])  # times the stock's own
TRANSITION = np.array(
    [
        [0.985, 0.004, 0.008, 0.003],
        [0.003, 0.985, 0.008, 0.004],
        [0.007, 0.006, 0.985, 0.002],
        [0.003, 0.008, 0.004, 0.985],
    ]
)

FACTORS = ("reversal", "momentum", "volume_shock")
REVERSAL_SESSIONS, MOMENTUM_SESSIONS, VOLUME_SESSIONS = 5, 20, 20
REGIME_WEIGHTS = np.array([[1.1, 2.1, 0.6], [1.5, 0.9, -0.7], [1.3, 1.9, 0.4], [1.5, 0.0, -0.5]])
INDUSTRY_WEIGHTS = np.array(
    [
        [1.6, 0.2, -0.8],  # finance
        [0.9, 1.3, 0.4],  # consumer
        [0.5, 1.5, 1.0],  # technology
        [0.8, 1.4, -0.5],  # healthcare
        [1.2, 0.9, 0.6],  # industrial
        [1.1, 0.7, 0.8],  # materials
        [1.5, -0.4, 0.5],  # energy
        [1.7, 0.1, -0.4],  # utilities
        [1.3, 0.4, -0.9],  # real_estate
        [0.4, 1.2, 1.2],  # telecom
        [1.0, 0.8, 0.3],  # other
    ]
)
# industry -> the industry whose move of session t it follows in session t+2
LEADERS = {
    "finance": "real_estate",
    "consumer": "finance",
    "technology": "telecom",
    "healthcare": "consumer",
    "industrial": "materials",
    "materials": "energy",
    "energy": "industrial",
    "utilities": "energy",
    "real_estate": "materials",
    "telecom": "technology",
    "other": "industrial",
}
LEADER_OF = np.array([INDUSTRIES.index(LEADERS[name]) for name in INDUSTRIES])
PAYOFF_DELAY = 2
# Realised share of a planted share of one, given betas, industry moves and limits beside it: calibration.
SIGNAL_SCALE = 0.74
# The lead-lag is there as soon as there is a signal, and saturates: at .06 it is nearly what it is at .10.
LEAD_LAG_SHARE, LEAD_LAG_ONSET = 0.040, 0.02

SHOCK_DEGREES = 5.0
LOG_VOLATILITY_PERSISTENCE, LOG_VOLATILITY_SD = 0.97, 0.35
TRAILING_DECAY = 0.97  # of the trailing variance that scales what is paid
INDUSTRY_VOLATILITY = 0.007
SEASONING = 25  # sessions after which a new listing takes part in the signal
SUSPENSION_RATE, SUSPENSION_MEAN_SESSIONS = 0.0008, 10.0
DELISTING_RATE = 1.5e-5
DELISTING_PRICE = 1.0
SPILL_CAP = 0.3


class Board(NamedTuple):
    """Where practice stocks are listed; the limits of a board stand in market.rules."""

    rules: str
    prefixes: tuple[str, ...]
    share: float
    first: date


BOARDS = (
    Board("main", ("SH600", "SH601", "SH603", "SH605"), 0.42, date(1990, 12, 19)),
    Board("main", ("SZ000", "SZ001", "SZ002", "SZ003"), 0.33, date(1990, 12, 19)),
    Board("chinext", ("SZ300", "SZ301", "SZ302"), 0.17, date(2009, 10, 30)),
    Board("star", ("SH688",), 0.08, date(2019, 7, 22)),
)
SHENWAN = {
    "finance": (("480301", "银行"), ("490101", "非银金融")),
    "consumer": (("340501", "食品饮料"), ("330101", "家用电器"), ("350201", "纺织服饰")),
    "technology": (("270101", "电子"), ("710301", "计算机")),
    "healthcare": (("370101", "医药生物"),),
    "industrial": (("640101", "机械设备"), ("630701", "电力设备")),
    "materials": (("220201", "基础化工"), ("240301", "有色金属")),
    "energy": (("740101", "煤炭"), ("750101", "石油石化")),
    "utilities": (("410101", "公用事业"),),
    "real_estate": (("430101", "房地产"),),
    "telecom": (("730101", "通信"),),
    "other": (("510101", "综合"),),
}
INDUSTRY_SHARES = np.array([0.05, 0.19, 0.17, 0.10, 0.18, 0.13, 0.04, 0.04, 0.04, 0.03, 0.03])
INDICES = {"SH000001": (3000.0, 0.0006), "SH000300": (3500.0, 0.0), "SH000905": (6000.0, 0.0012)}
