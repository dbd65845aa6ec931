"""The sentence that may be quoted: a result with its error, which says so where it is chance."""

from typing import Any

Json = dict[str, Any]

SIGNIFICANT_T = 1.96


def verdict(mean: Json) -> str:
    """ "above", "below" or "chance": whether a mean differs from zero by more than its error allows.

    >>> verdict({"mean": 0.06, "t": 12.0}), verdict({"mean": 0.002, "t": 0.6})
    ('above', 'chance')
    """
    t = mean.get("t")
    if t is None or abs(t) < SIGNIFICANT_T:
        return "chance"
    return "above" if t > 0 else "below"


def tell_headline(facts: Json) -> Json:
    """One sentence with its error, in English and Chinese, that says so where the result is chance."""
    rank_ic = facts["summary"]["rank_ic"]
    judged = verdict(rank_ic)
    if rank_ic["mean"] is None:
        english, chinese = "No session has enough stocks to judge.", "没有一个交易日有足够的股票可供评判。"
        return {"verdict": judged, "en": english, "zh": chinese, "against": None}
    value, error = _signed(rank_ic["mean"]), f"{rank_ic['se']:.4f}" if rank_ic["se"] is not None else "?"
    t = "?" if rank_ic["t"] is None else _signed(rank_ic["t"], 1)
    english = {
        "above": f"RankIC {value} ± {error}: better than chance (Newey-West t = {t}).",
        "below": f"RankIC {value} ± {error}: worse than chance, upside down (Newey-West t = {t}).",
        "chance": f"RankIC {value} ± {error}: indistinguishable from chance (Newey-West t = {t}).",
    }[judged]
    chinese = {
        "above": f"RankIC {value} ± {error}：明显高于随机（Newey-West t = {t}）。",
        "below": f"RankIC {value} ± {error}：明显低于随机，排序方向相反（Newey-West t = {t}）。",
        "chance": f"RankIC {value} ± {error}：与随机无法区分（Newey-West t = {t}）。",
    }[judged]
    rival = strongest_baseline(facts["baselines"])
    if rival:
        difference = rival["difference"]
        side = verdict(difference)
        gap = (
            f"{_signed(difference['mean'])} ± {difference['se']:.4f}" if difference["se"] is not None else ""
        )
        name = rival["name"]
        english += (
            " "
            + {
                "above": f"Ahead of {name} by {gap} (paired).",
                "below": f"Behind {name} by {gap} (paired).",
                "chance": f"The difference from {name}, {gap} (paired), is within its error.",
            }[side]
        )
        chinese += {
            "above": f"领先 {name}，配对差 {gap}。",
            "below": f"落后于 {name}，配对差 {gap}。",
            "chance": f"与 {name} 的配对差 {gap}，在误差之内。",
        }[side]
    return {"verdict": judged, "en": english, "zh": chinese, "against": rival["name"] if rival else None}


def strongest_baseline(baselines: list[Json]) -> Json | None:
    """The baseline with the highest RankIC; None where there are none."""
    ranked = [row for row in baselines if row["rank_ic"]["mean"] is not None]
    return max(ranked, key=lambda row: row["rank_ic"]["mean"]) if ranked else None


def _signed(value: float, digits: int = 4) -> str:
    # U+2212, as wide as a plus sign, so that figures line up.
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}").lstrip("+")
