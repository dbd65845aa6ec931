"""The table of conditions: (code, session) -> small integers, as of the close of that session.

To add one, write a file that computes an int8 column, and add its line to CONDITIONS; the panel, the
models' embeddings and the page's menus are made from this table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..base.config import INDUSTRIES, ConditionSettings
from ..data.panel import Panel
from ..data.reference_store import ReferenceStore
from .market_regime import REGIMES, regime_column
from .stock_metadata import industry_column
from .style import STYLES

Column = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Condition:
    """The words of a condition, and what computes it: int8 (N,), positions in the words."""

    vocabulary: tuple[str, ...]
    compute: Callable[[Panel, ReferenceStore, ConditionSettings], npt.NDArray[Any]]


CONDITIONS = {
    "industry": Condition(INDUSTRIES, industry_column),
    **{name: Condition(style.vocabulary, style.column) for name, style in STYLES.items()},
    "regime": Condition(REGIMES, regime_column),
}
VOCABULARIES = {name: condition.vocabulary for name, condition in CONDITIONS.items()}


@dataclass(frozen=True)
class ConditionColumns(Mapping[str, Column]):
    """All conditions of all rows of a panel, int8 (N,) each, in the order of CONDITIONS.

    A column is computed when it is asked for and not kept, so that a builder holds one at a time.
    """

    panel: Panel
    reference: ReferenceStore
    settings: ConditionSettings

    def __getitem__(self, name: str) -> Column:
        return np.asarray(CONDITIONS[name].compute(self.panel, self.reference, self.settings), dtype=np.int8)

    def __contains__(self, name: object) -> bool:
        return name in CONDITIONS  # Mapping's own would compute the column to find out

    def __iter__(self) -> Iterator[str]:
        return iter(CONDITIONS)

    def __len__(self) -> int:
        return len(CONDITIONS)
