"""What a reader must know beside a result's figures: one sentence in both languages, told and kept.

A note is said while the work goes on, as a warning, and stays in the result, where report and page show it.
"""

from collections.abc import Mapping
from typing import Any

from ..base.progress import Progress

Json = dict[str, Any]

# key -> (zh, en)
NOTES = {
    "baselines_left_out": (
        "面板从 {begins} 开始，不含模型学习过的 {first} 至 {last}，"
        "因此略去需要拟合的基线（岭回归与 LightGBM）。",
        "The panel begins on {begins} and does not hold all of {first} to {last}, which the model learned "
        "from: the baselines that must be fitted there (ridge, LightGBM) are left out.",
    ),
    "no_index": (
        "面板里没有指数 {index}，因此不与指数比较。可用 --index 选择面板里有的指数：{held}。",
        "The panel does not hold the index {index}, so nothing is compared with it. Choose one that it holds "
        "with --index: {held}.",
    ),
    "own_bars": (
        "{file} 的价格按已复权处理；若是不复权价格，除权除息日会被当成真实涨跌。成交量单位判定为：{units}。",
        "The prices of {file} count as adjusted: raw ones would show ex-rights days as moves. Units "
        "were read as: {units}.",
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
}


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
    chinese, english = (text.format(**fields) for text in NOTES[key])
    progress.warn(english, key=key, **fields)
    return {"key": key, "zh": chinese, "en": english}
