"""One or a few stocks: which rows are learned from, judged by, and in what order they come."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from ..base.config import TrainSettings
from ..base.errors import BadSetting, TooFewSessions
from ..data.panel import CONDITIONS, Panel
from .features import Features, compute_features
from .loaders import SampleLoader, SessionLoader
from .splits import Span, Split, split_by_date
from .windows import MarketMatrices, market_matrices, rows_with_future, usable_rows

Rows = NDArray[np.int32]  # positions in the panel, as its own table of sessions holds them
Counts = NDArray[np.int64]

# Below this many stocks a session says nothing about their ranking, and batches are plain samples.
LEAST_CROSS_SECTION = 10


@dataclass(frozen=True)
class StockDataset:
    """Samples of some stocks of a panel, split by date.

    The features are those of the whole panel: a stock's standing within its session does not depend on
    which stocks are trained on. `is_chosen` (N,) marks the rows that take part.
    """

    panel: Panel
    features: Features
    matrices: MarketMatrices
    split: Split
    settings: TrainSettings
    is_chosen: NDArray[np.bool_]

    # Whether sessions hold enough stocks for a RankIC and for losses that look across stocks.
    looks_across_stocks = False

    @classmethod
    def open(
        cls,
        panel: Panel,
        settings: TrainSettings,
        device: torch.device | str = "cpu",
        features: Features | None = None,
    ) -> "StockDataset":
        """The dataset that the settings ask for; errors say which span or stock has too few sessions."""
        split = split_by_date(panel.sessions, settings)
        features = features or compute_features(panel, panel.made_with.index)
        model = settings.model
        matrices = market_matrices(
            panel,
            features,
            model.context_length,
            model.prediction_length,
            settings.holding,
            device,
            model.with_conditions,
            leaves_out_locked=True,
        )
        is_chosen = cls.choose(panel, settings) & usable_rows(
            panel, features.volatility, model.context_length
        )
        dataset = cls(panel, features, matrices, split, settings, is_chosen)
        for name, rows in (
            ("The training span", dataset.train_rows),
            ("The validation span", dataset.valid_rows),
        ):
            if not len(rows):
                raise TooFewSessions(
                    f"{name} of the chosen stocks",
                    0,
                    1,
                    f"A sample needs {model.context_length} sessions of the stock before it: choose "
                    "other dates, other stocks, or a shorter context.",
                )
        return dataset

    @classmethod
    def choose(cls, panel: Panel, settings: TrainSettings) -> NDArray[np.bool_]:
        """Which rows (N,) belong to the stocks the settings name."""
        return rows_of_codes(panel, settings.codes)

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """The names behind each condition's integers."""
        return {name: list(self.panel.names(name)) for name in CONDITIONS}

    @property
    def feature_names(self) -> dict[str, list[str]]:
        features = self.features
        return {
            "sequence": list(features.sequence_names),
            "summary": list(features.summary_names),
            "market": list(features.market_names),
        }

    @property
    def train_rows(self) -> Rows:
        """Rows to learn from, session by session."""
        return self._train[0]

    @property
    def valid_rows(self) -> Rows:
        """Rows to judge by, session by session."""
        return self._valid[0]

    @cached_property
    def is_known(self) -> NDArray[np.bool_]:
        """Which rows (N,) have at least one known target; what nobody can ever know teaches nothing."""
        return rows_with_future(self.panel, self.settings.model.prediction_length)

    @cached_property
    def _train(self) -> tuple[Rows, Counts]:
        return self._known_rows(self.split.train)

    @cached_property
    def _valid(self) -> tuple[Rows, Counts]:
        return self._known_rows(self.split.valid)

    def _known_rows(self, span: Span) -> tuple[Rows, Counts]:
        """Rows of a span that are chosen and known, session by session, and how many of each session."""
        by_session, offsets = self.panel.session_rows()
        edges = offsets[span.first : max(span.stop, span.first) + 1]
        is_taken = self.is_chosen & self.is_known
        taken, counts = np.empty(edges[-1] - edges[0], np.int32), np.zeros(len(edges) - 1, np.int64)
        count = 0
        # One session at a time: of 30 million rows nothing is held but those that are taken.
        for place, (start, stop) in enumerate(pairwise(edges)):
            rows = by_session[start:stop]
            rows = rows[is_taken[rows]]
            taken[count : count + len(rows)] = rows
            counts[place], count = len(rows), count + len(rows)
        return taken[:count], counts

    def train_loader(self, batch_size: int, seed: int) -> SampleLoader | SessionLoader:
        """The order of training batches; `seed` makes the shuffle."""
        return SampleLoader(self.train_rows, batch_size, seed)

    def valid_batches(self, batch_size: int) -> list[NDArray[np.int64]]:
        """Validation rows in whole sessions, by date."""
        return list(SessionLoader(*self._valid, batch_size, 0).in_order())


def rows_of_codes(panel: Panel, codes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which rows (N,) belong to these codes; CodeNotHeld names the first that is missing."""
    if not codes:
        raise BadSetting("codes", [], "at least one stock")
    is_named = np.zeros(len(panel), bool)
    for code in codes:
        is_named[panel.rows_of(code)] = True
    return is_named
