"""The linear part of every score: summaries weighed by industry, regime and the market's state.

What pays in one industry or in quiet times reverses in another or in wild ones. A product of factor and
condition learns that from far fewer samples than a deep network does: on the practice market this path alone
reaches what a ridge with the same products reaches, and a network beside it learns only what is left.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..datasets.bar_features import FACTORS
from ..datasets.market_features import LEADERS, STATES
from .interface import InputSizes

if TYPE_CHECKING:
    from ..datasets.loaders import Batch

# The weights live at 1 / PACE of their effect, so that they move this much faster than a deep network's.
PACE = 3.0


class FactorPath(nn.Module):
    """(B,) score: linear in all summaries, with weights of their own for the factors under each condition.

    The first columns of a summary are FACTORS, those of a market row STATES and LEADERS.
    An industry also weighs what every other industry did in the last session, which no window of its own
    stocks can show.
    """

    def __init__(self, sizes: InputSizes, dropout: float) -> None:
        super().__init__()
        # Dropping products at random is a ridge penalty on their weights, whatever their scale.
        self.dropout = nn.Dropout(dropout)
        self.factors = min(len(FACTORS), sizes.summary)
        self.states = min(len(STATES), sizes.market)
        self.leaders = min(len(LEADERS), sizes.market - self.states)
        names = list(sizes.conditions)
        self.conditions = [names.index(name) for name in ("industry", "regime") if name in names]
        self.industry = names.index("industry") if "industry" in names else None
        self.common = nn.Linear(sizes.summary, 1, bias=False)
        self.tables = nn.ModuleList(
            nn.Embedding(sizes.conditions[names[c]], self.factors) for c in self.conditions
        )
        self.by_state = nn.Linear(self.factors, self.states, bias=False) if self.states else None
        self.leading = (
            nn.Embedding(sizes.conditions["industry"], self.leaders)
            if self.industry is not None and self.leaders
            else None
        )
        for weight in self.parameters():
            nn.init.normal_(weight, std=0.01 / PACE)

    def forward(self, batch: "Batch") -> Tensor:
        factors = batch.summary[:, : self.factors]
        products = [self.common.weight * batch.summary]
        products += [
            table(batch.conditions[:, c]) * factors
            for table, c in zip(self.tables, self.conditions, strict=True)
        ]
        if self.by_state is not None:
            state = batch.market[:, : self.states]
            products.append((state.unsqueeze(2) * factors.unsqueeze(1) * self.by_state.weight).flatten(1))
        if self.leading is not None:
            led = batch.market[:, self.states : self.states + self.leaders]
            products.append(self.leading(batch.conditions[:, self.industry]) * led)
        return PACE * self.dropout(torch.cat(products, dim=1)).sum(dim=1)
