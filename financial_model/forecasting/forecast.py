"""The forecast table: code, as_of, step, q05, q25, q50, q75, q95, score.

Quantiles are of the log return from the close of as_of to the close of that step, in market sessions. The
score ranks the stocks of a session by the return from the next close on; its scale means nothing.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from ..base.config import QUANTILE_LEVELS
from ..base.workspace import output_path, replace_when_done, write_atomically
from ..data.panel import Panel

QUANTILE_NAMES = tuple(f"q{round(100 * level):02d}" for level in QUANTILE_LEVELS)
FORECAST_SUFFIXES = (".csv", ".parquet")
BOM = "\ufeff".encode()


def forecast_table(
    panel: Panel, rows: NDArray[np.int64], quantiles: NDArray[np.floating], score: NDArray[np.floating]
) -> pa.Table:
    """The table of samples: rows (N,) of the panel, quantiles (N, H, Q) as log returns, score (N,)."""
    steps = quantiles.shape[1]
    codes = pa.DictionaryArray.from_arrays(
        np.repeat(panel.code_index[rows], steps).astype(np.int32), pa.array(panel.codes, pa.string())
    )
    columns = {
        "code": codes.cast(pa.string()),
        "as_of": pa.array(np.repeat(panel.sessions[panel.session_index[rows]], steps)),
        "step": pa.array(np.tile(np.arange(1, steps + 1, dtype=np.int32), len(rows))),
    }
    flat = quantiles.reshape(-1, len(QUANTILE_NAMES)).astype(np.float64)
    columns |= {name: pa.array(flat[:, position]) for position, name in enumerate(QUANTILE_NAMES)}
    columns["score"] = pa.array(np.repeat(score.astype(np.float64), steps))
    return pa.table(columns)


def write_forecast(path: Path, table: pa.Table) -> None:
    """Write a forecast table as .csv (utf-8 with the mark that spreadsheets need) or .parquet."""
    output_path(path, *FORECAST_SUFFIXES)
    if path.suffix == ".parquet":
        with replace_when_done(path) as beside:
            pa.parquet.write_table(table, beside)
    else:
        with write_atomically(path) as file:
            file.write(BOM)
            pa.csv.write_csv(
                table, file, pa.csv.WriteOptions(quoting_style="needed", quoting_header="needed")
            )
