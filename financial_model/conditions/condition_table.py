"""The table of conditions: (code, session) -> small integers, as of the close of that session.

To add one, write a file that computes an int8 column, and add its line to CONDITIONS; the panel, the
models' embeddings and the page's menus are made from this table.
"""

from collections.abc import Callable
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


def compute_conditions(
    panel: Panel, reference: ReferenceStore, settings: ConditionSettings
) -> dict[str, npt.NDArray[np.int8]]:
    """All conditions of all rows of the panel, int8 (N,) each, in the order of CONDITIONS.

    One condition after the other, so that at most a few float columns of the panel's length are held.
    """
    return {
        name: np.asarray(condition.compute(panel, reference, settings), dtype=np.int8)
        for name, condition in CONDITIONS.items()
    }
