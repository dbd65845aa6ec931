"""Where a calibration stands at a session's close, whoever asks.

The coverage that a calibration asks for moves with the outcomes of the sessions that training has not seen.
A forecast must not depend on what else was asked for, so the same walk is taken for one stock and for all,
for a session and for a range, by the page and by the evaluation: over a fixed sample of the universe, from
the begin of the block of sessions before the one asked about. Its memory is bounded, and so is what it costs.
"""

from collections.abc import Callable
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ..data.panel import Panel
from .calibration import Calibration, Floats

# A session's miss is made good by 2 to 5 % (calibration.GAMMA): after one or two blocks little is left of it.
BLOCK_SESSIONS = 60
# Stocks of a session move together: more of them tell hardly more of the session's miss.
SAMPLE_STOCKS = 100

Rows = NDArray[np.int64]


class Steering:
    """The walk of one calibration over one panel, block by block as it is asked for.

    first: the position of the first session whose outcome neither training nor validation has used.
    outcomes: of rows (N,), the network's quantiles (N, H, levels) and the targets (N, H), NaN unknown.
    """

    def __init__(
        self,
        calibration: Calibration,
        panel: Panel,
        is_usable: NDArray[np.bool_],
        first: int,
        outcomes: Callable[[Rows], tuple[Floats, Floats]],
    ) -> None:
        self._calibration, self._panel, self._is_usable = calibration, panel, is_usable
        self._first, self._outcomes = first, outcomes
        # By a hash of the code: no property of a stock decides, and a longer panel chooses the same.
        self._order = np.argsort(np.argsort([crc32(code.encode()) for code in panel.codes], kind="stable"))
        self._samples: dict[int, tuple[Rows, Floats, Floats]] = {}
        self._blocks: dict[int, tuple[NDArray[np.integer], Floats]] = {}

    def asked(self, session: NDArray[np.integer]) -> Floats:
        """The coverages asked at the close of each of these sessions: (N,) -> (N, H, I)."""
        asked = np.tile(self._calibration.asked, (len(session), 1, 1))
        block = (session - self._first) // BLOCK_SESSIONS
        for number in np.unique(block[session >= self._first]).tolist():
            inside = block == number
            sessions, trail = self._block(number)
            # A session without a usable stock stands where the last one before it stood.
            place = np.searchsorted(sessions, session[inside], side="right") - 1
            asked[inside] = np.where(place[:, None, None] >= 0, trail[place], self._calibration.asked)
        return asked

    def _block(self, number: int) -> tuple[NDArray[np.integer], Floats]:
        """Sessions (S,) of a block and the one before it, and what is asked at each close (S, H, I)."""
        if number not in self._blocks:
            parts = [self._sample(one) for one in (number - 1, number) if one >= 0]
            rows, quantiles, target = (np.concatenate(one) for one in zip(*parts, strict=True))
            session = self._panel.session_index[rows].astype(np.int64)
            sessions, trail, asked = self._calibration.walk(quantiles, target, session)
            self._blocks[number] = sessions, trail if len(trail) else asked[None]
        return self._blocks[number]

    def _sample(self, number: int) -> tuple[Rows, Floats, Floats]:
        """The sampled rows of a block, sorted by session, and what became of them."""
        if number not in self._samples:
            by_session, offsets = self._panel.session_rows()
            begin = self._first + number * BLOCK_SESSIONS
            chosen = []
            for session in range(begin, min(begin + BLOCK_SESSIONS, len(self._panel.sessions))):
                rows = np.asarray(by_session[offsets[session] : offsets[session + 1]], np.int64)
                rows = rows[self._is_usable[rows]]
                order = self._order[self._panel.code_index[rows]]
                chosen.append(rows[np.argsort(order, kind="stable")[:SAMPLE_STOCKS]])
            sample = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
            self._samples[number] = sample, *self._outcomes(sample)
        return self._samples[number]
