"""How an evaluation is laid out on the report page."""

import json
from html import escape
from typing import Any

from . import evaluation_figures
from .report_layout import Page, number, percent, percent_with_error, with_error

Json = dict[str, Any]


def lay_out_evaluation(page: Page, result: Json) -> None:
    """All sections of one or several evaluated checkpoints; the first is told in full."""
    model = result["models"][0]
    _headline(page, model)
    page.notes(result.get("notes") or [])
    evaluation_figures.forest(page, result["models"])
    evaluation_figures.curve(page, model)
    evaluation_figures.deciles(page, model)
    if model["calibration"]:
        evaluation_figures.coverage(page, model["calibration"])
        evaluation_figures.pit(page, model["calibration"])
    if model["leakage"]:
        _leakage(page, model["leakage"])
    if model["fans"]:
        evaluation_figures.fans(page, model["fans"])
    if result.get("folds"):
        _folds(page, result["folds"])
    if len(result["models"]) > 1:
        _comparison(page, result)
    if model["baselines"]:
        _baselines(page, model, note="baselines.note" if result["kind"] == "evaluation" else None)
    for key in ("year", "regime", "industry", "size"):
        _group_table(page, key, model["by"][key])
    if model["calibration"]:
        _direction(page, model["calibration"])
    _settings(page, model)


def _headline(page: Page, model: Json) -> None:
    summary, calibration = model["summary"], model["calibration"]
    figures = [
        (page.text("ic"), with_error(summary["ic"])),
        (page.text("icir"), number(summary["rank_ic"]["ir"], 2)),
        (
            page.text("hit"),
            f"{percent_with_error(summary['hit_rate'])} <small>({escape(page.text('hit.expected'))} "
            f"{percent(summary['hit_rate']['expected'])})</small>",
        ),
        (page.text("unlocked"), with_error(model["without_locked"]["rank_ic"])),
    ]
    if calibration:
        figures += [
            (page.text(f"coverage{key}"), percent_with_error(calibration["coverage"][key]))
            for key in ("90", "50")
        ]
    spread = model["portfolios"]["spread"]
    if spread:
        error = (
            ""
            if spread["annualised_se"] is None
            else f" <small>± {100 * spread['annualised_se']:.1f}</small>"
        )
        figures.append((page.text("spread"), percent(spread["annualised"]) + error))
    cells = "".join(f"<div><span>{escape(name)}</span><b>{value}</b></div>" for name, value in figures)
    facts = " · ".join(
        [
            page.text("out_of_sample"),
            escape(model["name"]),
            f"{model['first']} – {model['last']}",
            *(f"{model[f'{key}_count']:,} {page.text(key + 's')}" for key in ("session", "stock", "sample")),
            f"{page.text('label')} {escape(model['label'])}",
        ]
    )
    rank_ic = summary["rank_ic"]
    page.sections.append(
        f'<section class="wide"><p class="note">{facts}</p>'
        f'<div class="big">{number(rank_ic["mean"])}<small>± {number(rank_ic["se"])} RankIC</small></div>'
        f'<p class="verdict">{escape(named_sentence(page, model["headline"]))}</p>'
        f'<div class="figures">{cells}</div></section>'
    )


def named_sentence(page: Page, headline: Json) -> str:
    """The headline's sentence with the baseline's key replaced by its name."""
    sentence = str(headline[page.lang])
    against = headline.get("against")
    return sentence.replace(str(against), page.name(against)) if against else sentence


def _leakage(page: Page, checks: list[Json]) -> None:
    rows = []
    for check in checks:
        detail = check["detail"]
        if check["name"] == "truncation":
            found = f"{len(detail['days'])} {page.text('dates')} {number(check['value'], 6)}"
            expected = "0"
        elif check["name"] == "permutation":
            found, expected = number(check["value"]), f"0 ± {number(detail['allowed'])}"
        else:
            found, expected = number(check["value"]), f"≤ {number(check['expected'])}"
        state = "passed" if check["passed"] else "failed"
        tag = f'<span class="tag {state}">{page.text(state)}</span>'
        rows.append([escape(page.text(f"check.{check['name']}")), escape(found), escape(expected), tag])
    page.section(
        "leakage",
        page.table([page.text("check"), page.text("found"), page.text("expected"), ""], rows),
    )


def _folds(page: Page, folds: list[Json]) -> None:
    """The retrainings of a walk forward: what each learned from and what it was judged on."""
    rows = [
        [
            str(fold["fold"]),
            *(" – ".join(fold["split"][name]) for name in ("train", "valid")),
            f"{fold['first']} – {fold['last']}",
            number(fold["rank_ic"]),
        ]
        for fold in folds
    ]
    head = [page.text(key) for key in ("fold", "fold.train", "fold.valid", "fold.test")]
    page.section("folds", page.table([*head, "RankIC"], rows), wide=True)


def _comparison(page: Page, result: Json) -> None:
    rows = [
        [
            escape(model["name"]),
            with_error(model["summary"]["rank_ic"]),
            number(model["summary"]["rank_ic"]["t"], 1),
            with_error(model["summary"]["ic"]),
            with_error(model["without_locked"]["rank_ic"]),
        ]
        for model in result["models"]
    ]
    rows += [
        [
            f"{escape(row['first'])} {page.text('minus')} {escape(row['second'])}",
            with_error(row["rank_ic"]),
            number(row["rank_ic"]["t"], 1),
            with_error(row["ic"]),
            "",
        ]
        for row in result["comparison"]
    ]
    head = [page.text("name"), "RankIC", "t", "IC", page.text("unlocked")]
    page.section("comparison", page.table(head, rows), wide=True)


def _baselines(page: Page, model: Json, note: str | None) -> None:
    summary = model["summary"]
    rows = [
        [
            f"<b>{escape(page.text('this'))}</b>",
            with_error(summary["ic"]),
            with_error(summary["rank_ic"]),
            number(summary["rank_ic"]["t"], 1),
            with_error(model["without_locked"]["ic"]),
            with_error(model["without_locked"]["rank_ic"]),
            "",
            "",
        ]
    ]
    for row in model["baselines"]:
        rows.append(
            [
                escape(page.name(row["name"])),
                with_error(row["ic"]),
                with_error(row["rank_ic"]),
                number(row["rank_ic"]["t"], 1),
                with_error(row["ic_without_locked"]),
                with_error(row["rank_ic_without_locked"]),
                with_error(row["difference"]),
                number(row["difference"]["t"], 1),
            ]
        )
    free = " –" + page.text("unlocked").replace("RankIC", "").strip()
    head = [
        page.text("name"),
        "IC",
        "RankIC",
        "t",
        "IC" + free,
        "RankIC" + free,
        page.text("difference"),
        "t",
    ]
    page.section("baselines", page.table(head, rows), note=note, wide=True)


def _group_table(page: Page, key: str, rows: list[Json]) -> None:
    cells = [
        [
            escape(page.name(row["name"])),
            f"{row['sessions']:,}",
            f"{row['samples']:,}",
            with_error(row["ic"]),
            with_error(row["rank_ic"]),
            number(row["rank_ic"]["t"], 1),
        ]
        for row in rows
    ]
    head = ["", page.text("sessions"), page.text("samples"), "IC", "RankIC", "t"]
    has_small = any(row["sessions"] == 0 for row in rows)
    page.section(f"by.{key}", page.table(head, cells), note="by.too_few" if has_small else None)


def _direction(page: Page, calibration: Json) -> None:
    rows = [
        [
            f"{row['step']}",
            percent_with_error(row),
            percent(row["constant"]),
            percent_with_error(calibration["coverage_by_step"]["90"][place]),
            percent_with_error(calibration["coverage_by_step"]["50"][place]),
            number(calibration["pinball"]["by_step"][place], 5),
        ]
        for place, row in enumerate(calibration["direction"])
    ]
    head = [
        page.text("step"),
        page.text("right"),
        page.text("constant"),
        page.text("coverage90"),
        page.text("coverage50"),
        page.text("pinball"),
    ]
    page.section("direction", page.table(head, rows), wide=True)


def _settings(page: Page, model: Json) -> None:
    shown = escape(json.dumps(model["settings"], ensure_ascii=False, indent=1))
    body = (
        f'<p class="note">{page.text("fingerprint")} {escape(str(model["data_fingerprint"]))}</p>'
        f"<details><summary>{escape(page.text('settings'))}</summary><pre>{shown}</pre></details>"
    )
    page.section("settings", body, wide=True)
