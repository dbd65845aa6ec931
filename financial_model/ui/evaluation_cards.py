"""An evaluation in words and tables: the verdict, the leak checks, baselines and groups beside each other."""

import re
from html import escape
from typing import Any

from . import widgets
from .evaluation_charts import baseline_name, models_of
from .translations import Translate, figure, percent

Json = dict[str, Any]


def with_error(mean: Json | None, digits: int = 4) -> tuple[str, str]:
    """(figure, "± error") of {"mean", "se"}."""
    if not mean or mean.get("mean") is None:
        return "—", ""
    error = mean.get("se")
    return figure(mean["mean"], digits), f"± {figure(error, digits)}" if error is not None else ""


def headline_card(t: Translate, result: Json | None) -> str:
    """RankIC with its error, the sentence, the paired difference, and the figures beside them."""
    models = models_of(result)
    if not result or not models:
        return widgets.card(t("evaluation.verdict"), f'<p class="help">{escape(t("evaluation.empty"))}</p>')
    one = models[0]
    summary, calibration = one["summary"], one.get("calibration") or {}
    value, error = with_error(summary["rank_ic"])
    verdict = one["headline"]["verdict"]
    kind = {"above": "accent", "chance": "warn", "below": "failed"}.get(verdict, "")
    stamp = t(
        "evaluation.stamp",
        first=one["first"],
        last=one["last"],
        sessions=one["session_count"],
        stocks=one["stock_count"],
        holding=one["holding"],
    )
    sentence = named_baselines(t, one)
    hits = summary["hit_rate"]
    free = one["without_locked"]["rank_ic"]
    ninety = (calibration.get("coverage") or {}).get("90") or {}
    entries = [
        ("IC", *with_error(summary["ic"])),
        ("RankICIR", figure(summary["rank_ic"].get("ir"), 2), ""),
        (t("evaluation.hits"), percent(hits["mean"]), f"± {figure(100 * (hits.get('se') or 0.0), 1)}"),
        (t("evaluation.without_locked"), figure(free.get("mean")), f"± {figure(free.get('se'))}"),
    ]
    if ninety.get("mean") is not None:
        entries.append(
            (
                t("evaluation.coverage"),
                percent(ninety["mean"]),
                f"± {figure(100 * (ninety.get('se') or 0.0), 1)}",
            )
        )
    mark = widgets.tag(t("word.practice_tag"), "warn") if one.get("is_simulated") else ""
    return (
        f'<section class="card verdict"><p class="help">{mark} {escape(stamp)}</p>'
        f'<p class="big"><strong>{escape(value)}</strong> <span>{escape(error)}</span> <b>RankIC</b></p>'
        f'<p class="sentence {kind}">{escape(sentence)}</p>{widgets.figures(entries)}'
        f"{widgets.notes(t.language, result)}"
        f'<p class="note">{escape(t("evaluation.caution"))}</p>{_side_by_side(t, result)}</section>'
    )


def named_baselines(t: Translate, one: Json) -> str:
    """The headline of an evaluation with the baseline it names in the words of the page."""
    sentence, against = str(one["headline"].get(t.language, "")), one["headline"].get("against")
    if not against:
        return sentence
    name = baseline_name(t, str(against))
    if t.language == "zh" and not name.isascii():
        # Between Chinese words no space is set.
        return re.sub(rf" ?{re.escape(str(against))} ?", name, sentence)
    return sentence.replace(str(against), name)


def _side_by_side(t: Translate, result: Json) -> str:
    """Several checkpoints beside each other, and their paired differences."""
    models = models_of(result)
    if len(models) < 2:
        return ""
    rows = [
        [
            model["name"],
            " ".join(with_error(model["summary"]["rank_ic"])),
            " ".join(with_error(model["summary"]["ic"])),
            percent(model["summary"]["hit_rate"]["mean"]),
        ]
        for model in models
    ]
    heads = [t("evaluation.model"), "RankIC", "IC", t("evaluation.hits")]
    body = widgets.table(heads, rows, numbers=(1, 2, 3), optional=(2,))
    pairs = [
        t(
            "evaluation.pair",
            first=row["first"],
            second=row["second"],
            difference=figure(row["rank_ic"]["mean"], signed=True),
            error=figure(row["rank_ic"].get("se")),
        )
        for row in result.get("comparison") or []
    ]
    return f'<div class="scroll">{body}</div>' + "".join(
        f'<p class="note">{escape(pair)}</p>' for pair in pairs
    )


def leak_card(t: Translate, result: Json | None) -> str:
    """The leak checks with what was found and what an honest model gives; then what the data was."""
    title = t("evaluation.leaks")
    models = models_of(result)
    if not result or not models:
        return widgets.card(title, f'<p class="help">{escape(t("evaluation.empty"))}</p>')
    one = models[0]
    rows, failed = [], 0
    for check in one.get("leakage") or []:
        failed += not check["passed"]
        detail = check.get("detail") or {}
        if check["name"] == "truncation":
            found = t(
                "evaluation.leak.truncation.found",
                days=len(detail.get("days", [])),
                value=_small(check["value"]),
            )
            expected = "0"
        elif check["name"] == "permutation":
            found, expected = figure(check["value"]), f"0 ± {figure(detail.get('allowed'))}"
        else:
            found = f"{figure(check['expected'])} → {figure(check['value'])}"
            expected = t("evaluation.leak.delay.expected")
        label = widgets.tag(
            t("evaluation.leak.passed" if check["passed"] else "evaluation.leak.failed"),
            "ok" if check["passed"] else "warn",
        )
        rows.append([t.choice("evaluation.leak", check["name"]), found, expected, widgets.Markup(label)])
    heads = [t(f"evaluation.leak.head.{name}") for name in ("check", "found", "expected")]
    body = widgets.table([*heads, ""], rows, numbers=(2,), optional=(2,))
    told = one.get("settings") or {}
    split = told.get("split") or {}
    known = split.get("valid") or split.get("train") or ["", "—"]
    facts = [t("evaluation.fingerprint", value=str(one.get("data_fingerprint", ""))[:12])]
    if split:  # a walk forward has a split a fold
        facts += [
            t("evaluation.trained_to", date=(split.get("train") or ["", "—"])[1]),
            t("evaluation.valid_to", date=known[1]),
            t("evaluation.purge", count=split.get("purge", "—")),
            t("evaluation.seed", seed=(told.get("train") or {}).get("seed", "—")),
        ]
    sub = t("evaluation.leaks.some", count=failed) if failed else t("evaluation.leaks.all", count=len(rows))
    return widgets.card(
        title, f'<div class="scroll wrapping">{body}</div>', sub if rows else "", " · ".join(facts)
    )


def _small(value: Any) -> str:
    return "0" if not value else f"{value:.1e}".replace("-", "−")


def group_tables(t: Translate, result: Json | None) -> str:
    """RankIC against each baseline, and by year, regime, industry and size."""
    models = models_of(result)
    if not result or not models:
        return ""
    one = models[0]
    cards = []
    if one["baselines"]:
        rows = [
            [
                baseline_name(t, row["name"]),
                " ".join(with_error(row["rank_ic"])),
                " ".join(with_error(row["ic"])),
                figure(row["difference"]["mean"], signed=True) + f" ± {figure(row['difference'].get('se'))}",
                figure(row["rank_ic_without_locked"]["mean"]),
            ]
            for row in one["baselines"]
        ]
        heads = [
            t("evaluation.baseline"),
            "RankIC",
            "IC",
            t("evaluation.difference"),
            t("evaluation.without_locked.short"),
        ]
        body = widgets.table(heads, rows, numbers=range(1, 5), optional=(2, 4))
        cards.append(widgets.card(t("evaluation.baselines.table"), f'<div class="scroll">{body}</div>'))
    for name, groups in one["by"].items():
        rows = [
            [
                _group_name(t, name, row["name"]),
                " ".join(with_error(row["rank_ic"])),
                " ".join(with_error(row["ic"])),
                f"{row['sessions']:,}",
                f"{row['samples']:,}",
            ]
            for row in groups
            if row["sessions"]
        ]
        empty = sum(not row["sessions"] for row in groups)
        heads = [
            t(f"evaluation.by.{name}"),
            "RankIC",
            "IC",
            t("evaluation.sessions"),
            t("evaluation.samples"),
        ]
        body = widgets.table(heads, rows, numbers=range(1, 5), optional=(2, 4))
        note = t("evaluation.by.few", count=empty) if empty else ""
        table = f'<div class="scroll">{body}</div>'
        cards.append(
            widgets.card(t("evaluation.by", what=t(f"evaluation.by.{name}").lower()), table, note=note)
        )
    if result.get("folds"):
        cards.append(_folds_card(t, result["folds"]))
    return f'<div class="table-grid">{"".join(cards)}</div>'


def _group_name(t: Translate, kind: str, name: str) -> str:
    prefix = {"regime": "regime", "industry": "industry", "size": "bucket.size"}.get(kind)
    return t.choice(prefix, name) if prefix else name


def _folds_card(t: Translate, folds: list[Json]) -> str:
    rows = []
    for place, fold in enumerate(folds, start=1):
        rank_ic = fold.get("rank_ic")
        mean = rank_ic if isinstance(rank_ic, dict) else {"mean": rank_ic, "se": None}
        rows.append(
            [
                fold.get("number", place),
                fold.get("first", "—"),
                fold.get("last", "—"),
                " ".join(with_error(mean)),
            ]
        )
    heads = [t("evaluation.fold"), t("evaluation.first"), t("evaluation.last"), "RankIC"]
    return widgets.card(t("evaluation.folds.table"), widgets.table(heads, rows, numbers=(3,)))
