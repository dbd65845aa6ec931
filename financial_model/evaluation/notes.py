"""What a reader must know beside a result's figures: one sentence in both languages, told and kept.

A note is said while the work goes on, as a warning, and stays in the result, where report and page show it.
"""

from collections.abc import Collection, Mapping
from typing import Any

from ..base.progress import Progress

Json = dict[str, Any]

# key -> (zh, en)
NOTES = {
    "baselines_left_out": (
        "面板从 {begins} 开始，不含模型学习过的 {first} 至 {last} 及之前回看的 {looked_back} 个交易日，"
        "因此略去需要拟合的基线（岭回归与 LightGBM）。",
        "The panel begins on {begins} and does not hold all of {first} to {last}, which the model learned "
        "from, and the {looked_back} sessions it looked back on before: the baselines that must be fitted "
        "there (ridge, LightGBM) are left out.",
    ),
    "no_index": (
        "面板里没有指数 {index}，因此不与指数比较。可用 --index 选择面板里有的指数：{held}。",
        "The panel does not hold the index {index}, so nothing is compared with it. Choose one that it holds "
        "with --index: {held}.",
    ),
    "own_bars_adjusted": (
        "{file} 的收盘价与已存的 {code} 复权价一致，按已复权处理。成交量单位判定为：{units}。",
        "The closes of {file} run with the adjusted ones stored of {code}: its prices count as adjusted. "
        "Units were read as: {units}.",
    ),
    "own_bars_other": (
        "{file} 的收盘价与已存的 {code} 不复权价和复权价都不一致，按已复权处理；"
        "若是不复权价格，除权除息日会被当成真实涨跌。成交量单位判定为：{units}。",
        "The closes of {file} match neither the raw nor the adjusted ones stored of {code}: its prices count "
        "as adjusted. If they are raw, ex-days show as moves. Units were read as: {units}.",
    ),
    "own_bars_raw": (
        "{file} 的收盘价与已存的 {code} 不复权价一致，已用存下的除权除息资料（{actions} 次）后复权。"
        "成交量单位判定为：{units}。",
        "The closes of {file} are the raw ones stored of {code}: its prices were adjusted backward with the "
        "corporate actions stored ({actions}). Units were read as: {units}.",
    ),
    "own_bars_unknown": (
        "面板里没有可与 {file} 对照的 {code} 行情，价格按已复权处理；若是不复权价格，"
        "除权除息日会被当成真实涨跌。面板里有的股票，请用代码作文件名（如 SH600519.csv）。"
        "成交量单位判定为：{units}。",
        "The panel holds no bars of {code} to hold {file} against: its prices count as adjusted. If they are "
        "raw, ex-days show as moves. Name the file by its code (such as SH600519.csv) where the panel has "
        "the stock. Units were read as: {units}.",
    ),
    "trained_on_practice": (
        "检查点 {name} 是在练习（模拟）行情上训练的，面板却是真实行情："
        "它学到的是编造的规律，结果不可用于真实股票。",
        "The checkpoint {name} was trained on a practice market, and this panel is of a real one: it learned "
        "a made-up law, and nothing it says of real stocks is to be relied on.",
    ),
    "trained_on_real": (
        "检查点 {name} 是在真实行情上训练的，面板却是练习（模拟）行情：结果说明不了它在真实市场上的价值。",
        "The checkpoint {name} was trained on a real market, and this panel is of a practice one: the result "
        "says nothing of its worth in the real one.",
    ),
    "unlearned_stock": (
        "模型没有学过 {examples} 的历史：训练时没有选用它，或它当时上市不久。",
        "The model did not learn from the history of {examples}: it was not chosen for the training, or had "
        "too little history then.",
    ),
    "unlearned_stocks": (
        "{stocks} 只股票中有 {count} 只模型没有学过（{examples}）：训练时没有选用，或当时上市不久。",
        "The model did not learn from the history of {count} of these {stocks} stocks ({examples}): they "
        "were not chosen for the training, or had too little history then.",
    ),
}
EXAMPLES = 3


def note_unlearned(
    progress: Progress, learned: Collection[str] | None, codes: Collection[str]
) -> tuple[int | None, list[Json]]:
    """How many of these stocks a model did not learn from, and a note where there are any.

    `learned`: `Checkpoint.learned_codes`; where it is None nothing is known and nothing said.
    """
    if learned is None:
        return None, []
    unlearned = sorted(set(codes) - set(learned))
    count, stocks = len(unlearned), len(set(codes))
    if not unlearned:
        return 0, []
    examples = ", ".join(unlearned[:EXAMPLES]) + (" ..." if count > EXAMPLES else "")
    key = "unlearned_stock" if stocks == 1 else "unlearned_stocks"
    return count, [note(progress, key, count=count, stocks=stocks, examples=examples)]


# The units that a file of bars was in, in the words of data/csv_source, and the same in Chinese.
VOLUME_UNITS = {
    "shares": "股",
    "lots": "手",
    "assumed shares": "股（没有成交额，无法核对）",
    "unclear units": "无法判定，按文件原样",
}
AMOUNT_UNITS = {"thousand CNY": "千元", "ten thousand CNY": "万元"}


def units_in_chinese(told: str) -> str:
    """Units of volume and amount, as `csv_source.units_of` tells them.

    >>> units_in_chinese("lots with amounts in thousand CNY")
    '手，成交额为千元'
    """
    volume, _, amount = told.partition(" with amounts in ")
    chinese = VOLUME_UNITS.get(volume, volume)
    return f"{chinese}，成交额为{AMOUNT_UNITS.get(amount, amount)}" if amount else chinese


def note_other_market(
    progress: Progress, name: str, data: Mapping[str, Any], is_simulated: bool
) -> list[Json]:
    """A note where a checkpoint (`data`: what it says of its panel) meets a panel of the other market."""
    learned = data.get("is_simulated")
    if not isinstance(learned, bool) or learned == bool(is_simulated):
        return []
    return [note(progress, "trained_on_practice" if learned else "trained_on_real", name=name)]


def note(progress: Progress, key: str, **fields: Any) -> Json:
    """Warn of something, and return it for the result: {"key", "zh", "en"}."""
    chinese, english = NOTES[key]
    english = english.format(**fields)
    chinese = chinese.format(
        **{name: units_in_chinese(value) if name == "units" else value for name, value in fields.items()}
    )
    progress.warn(english, key=key, **fields)
    return {"key": key, "zh": chinese, "en": english}
