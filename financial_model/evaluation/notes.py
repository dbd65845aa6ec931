"""What a reader must know beside a result's figures: one sentence in both languages, told and kept.

A note is said while the work goes on, as a warning, and stays in the result, where report and page show it.
"""

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
}


def note(progress: Progress, key: str, **fields: Any) -> Json:
    """Warn of something, and return it for the result: {"key", "zh", "en"}."""
    chinese, english = (text.format(**fields) for text in NOTES[key])
    progress.warn(english, key=key, **fields)
    return {"key": key, "zh": chinese, "en": english}
