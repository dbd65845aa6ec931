"""The one seam through which bars come in, whoever makes them.

CSV files, 通达信 day files, quote servers and the practice market all answer `BarSource`, so whatever
stands above asks for bars and never for a format.
"""

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from ..market.codes import is_index

FloatArray = npt.NDArray[np.float64]
PRICE_COLUMNS = ("open", "high", "low", "close")
BAR_COLUMNS = ("date", *PRICE_COLUMNS, "volume", "amount")


@dataclass(frozen=True, eq=False)
class Bars:
    """Daily bars of one code, oldest first, as parallel columns of one length.

    date: datetime64[D]. open, high, low, close: float64, CNY, raw (unadjusted). volume: float64, shares
    (for an index: shares of its members). amount: float64, CNY, NaN where the source does not say.
    """

    code: str
    date: npt.NDArray[np.datetime64]
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    amount: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "date", np.asarray(self.date, dtype="datetime64[D]"))
        for name in BAR_COLUMNS[1:]:
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        lengths = {name: len(getattr(self, name)) for name in BAR_COLUMNS}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"bars of {self.code} have columns of different lengths: {lengths}")

    @classmethod
    def of(cls, code: str, **columns: Any) -> Self:
        """Bars from any sequences; open, high, low default to close, amount to unknown, volume to zero.

        >>> Bars.of("SH600000", date=["2024-06-03"], close=[10.0]).high.tolist()
        [10.0]
        """
        close = np.asarray(columns["close"], dtype=np.float64)
        defaults: dict[str, Any] = dict.fromkeys(PRICE_COLUMNS, close)
        defaults |= {"volume": np.zeros(len(close)), "amount": np.full(len(close), np.nan)}
        return cls(code=code, **(defaults | columns))

    @classmethod
    def empty(cls, code: str) -> Self:
        return cls.of(code, date=np.empty(0, "datetime64[D]"), close=np.empty(0))

    def __len__(self) -> int:
        return len(self.date)

    def __eq__(self, other: object) -> bool:
        """Equal when every column is, NaN for NaN."""
        if not isinstance(other, Bars):
            return NotImplemented
        return self.code == other.code and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=name != "date")
            for name in BAR_COLUMNS
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def is_index(self) -> bool:
        return is_index(self.code)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The columns by name, in the order of the store's CSV."""
        return {name: getattr(self, name) for name in BAR_COLUMNS}

    def take(self, rows: Any) -> Self:
        """The bars at `rows`: a mask, positions or a slice."""
        return replace(self, **{name: values[rows] for name, values in self.columns().items()})

    def up_to(self, date: Any) -> Self:
        """The bars whose session is `date` or earlier."""
        return self.take(slice(0, int(np.searchsorted(self.date, np.datetime64(date, "D"), side="right"))))

    def followed_by(self, later: "Bars") -> Self:
        """These bars and `later`; where both have a session, the later ones win."""
        kept = self.take(~np.isin(self.date, later.date))
        joined = {name: np.concatenate([getattr(kept, name), getattr(later, name)]) for name in BAR_COLUMNS}
        return type(self)(code=self.code, **joined).take(np.argsort(joined["date"], kind="stable"))


class BarSource(Protocol):
    """Whatever can say which codes it has and hand out the bars of one."""

    name: str
    """What metadata.json keeps as the source, such as "csv" or "tdx"."""

    is_simulated: bool

    def codes(self) -> list[str]:
        """Codes of stocks and indices that the source holds, sorted."""
        ...

    def fetch_bars(self, code: str) -> Bars:
        """All bars of one code in shares and CNY; a FinancialModelError when it cannot."""
        ...
