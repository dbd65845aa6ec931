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
        return _headline_of_few(facts["calibration"])
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


def _headline_of_few(calibration: Json | None) -> Json:
    """For one or a few stocks, which cannot be ranked: the median's direction at the first step."""
    english, chinese = "Too few stocks a session to rank.", "每日股票太少，无法排序评判。"
    verdict_of = "chance"
    first = calibration["direction"][0] if calibration else None
    if first and first["mean"] is not None and first["se"] is not None:
        right, error, constant = (100 * first[key] for key in ("mean", "se", "constant"))
        # Better than the best constant answer, which is chosen in hindsight; worse than a coin.
        if right - constant > SIGNIFICANT_T * error:
            verdict_of = "above"
        elif 50 - right > SIGNIFICANT_T * error:
            verdict_of = "below"
        english += (
            f" The next session's direction is right in {right:.1f} % ± {error:.1f}, "
            f"against {constant:.1f} % for always naming the same side: "
            + {"above": "better.", "below": "worse.", "chance": "indistinguishable from chance."}[verdict_of]
        )
        chinese += (
            f"次日方向正确 {right:.1f} % ± {error:.1f}，总说同一方向为 {constant:.1f} %："
            + {"above": "更好。", "below": "更差。", "chance": "与随机无法区分。"}[verdict_of]
        )
    return {"verdict": verdict_of, "en": english, "zh": chinese, "against": None}


def strongest_baseline(baselines: list[Json]) -> Json | None:
    """The baseline with the highest RankIC; None where there are none."""
    ranked = [row for row in baselines if row["rank_ic"]["mean"] is not None]
    return max(ranked, key=lambda row: row["rank_ic"]["mean"]) if ranked else None


def _signed(value: float, digits: int = 4) -> str:
    # U+2212, as wide as a plus sign, so that figures line up.
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}").lstrip("+")
