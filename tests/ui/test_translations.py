"""Every text in both languages, every error told in both, nothing missing and nothing left over."""

import ast
import html
import inspect
import re
import string
from pathlib import Path

import pytest

import financial_model.base.errors as errors
import financial_model.ui as ui
from financial_model.base.errors import FinancialModelError
from financial_model.ui.app import TABS
from financial_model.ui.job import COMMANDS
from financial_model.ui.translations import TEXTS, Translate, figure, percent
from financial_model.ui.widgets import command_box

UI = Path(ui.__file__).parent
CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, FinancialModelError)
]
# Names that people in the field write in Latin letters in both languages, and pure figures.
SAME_IN_BOTH = re.compile(r"[A-Za-z0-9 .,·{}/:_()—–+−-]*")
CHINESE = re.compile("[一-鿿]")
FULL_WIDTH = re.compile("[，。；：（）“”]")


def fields(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def problems_of(key):
    """What is wrong with the two texts of a key."""
    chinese, english = TEXTS[key]
    if not chinese and key != "download.figure.stocks.unit":
        yield "no Chinese text"
    if CHINESE.search(english) or FULL_WIDTH.search(english):
        yield "Chinese in the English text"
    if not CHINESE.search(chinese) and not SAME_IN_BOTH.fullmatch(chinese):
        yield "no Chinese in the Chinese text"
    if not key.startswith("error.") and fields(chinese) != fields(english):
        yield "the two are filled in with different things"
    if re.search(r"[一-鿿][,;!?]", chinese):
        yield "half-width punctuation after Chinese"
    if re.search("终止|杀死|胜率", chinese):
        yield "a word that people in the field do not use"


def test_every_text_stands_in_both_languages_as_each_is_written():
    assert {key: list(problems_of(key)) for key in TEXTS if list(problems_of(key))} == {}


def used_keys():
    """Keys that stand as literals in the code, and prefixes of those that are put together."""
    whole, prefixes = set(), set()
    for path in UI.rglob("*.py"):
        if path.parent.name == "texts":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.add(node.value)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                prefixes.add(str(node.values[0].value))
    return whole, {prefix for prefix in prefixes if "." in prefix}


def test_no_text_is_left_over():
    whole, prefixes = used_keys()
    choices = {value for value in whole if f"{value}." in {key[: len(value) + 1] for key in TEXTS}}

    def is_used(key):
        bare = key.removesuffix(".help").removesuffix(".placeholder")
        return (
            key in whole
            or bare in whole
            or any(key.startswith(prefix) for prefix in prefixes)
            or any(key.startswith(f"{choice}.") for choice in choices)
            or key.startswith(("error.", "setting."))
        )

    assert ", ".join(key for key in sorted(TEXTS) if not is_used(key)) == ""


def test_no_text_is_missing():
    """Every literal handed to t(...) or page.make(..., "key") is a key."""
    missing = []
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            place = {"t": 0, "make": 1}.get(name)
            if place is None or len(node.args) <= place:
                continue
            key = node.args[place]
            if isinstance(key, ast.Constant) and isinstance(key.value, str) and "." in key.value:
                missing += [f"{path.name}: {key.value}"] if key.value not in TEXTS else []
    assert missing == []


@pytest.mark.parametrize(("readme", "column"), [("README.zh.md", 0), ("README.md", 1)])
def test_the_readme_names_the_tabs_as_the_page_does_in_their_order(readme, column):
    text = (UI.parents[1] / readme).read_text(encoding="utf-8")
    steps = re.findall(r"^\d\. \*\*.*$", text, re.MULTILINE)
    named = [name.rstrip(".") for step in steps for name in re.findall(r"\*\*(.+?)\*\*", step)]
    tabs = [module.__name__.rpartition(".")[2] for module in TABS]
    keys = [{"basic_training": "basic", "multi_dim_training": "multi"}.get(tab, tab) for tab in tabs]
    assert named == [TEXTS[f"tab.{key}"][column] for key in keys]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("prefix", ["job.name", "job.doing"])
def test_every_command_has_its_words(command, prefix):
    assert f"{prefix}.{command}" in TEXTS


def test_every_stage_that_a_workflow_tells_has_its_words():
    """The checks of the doctor are named by `check.` instead."""
    told = set()
    for path in UI.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "stage" and node.args:
                told |= {one.value for one in ast.walk(node.args[0]) if isinstance(one, ast.Constant)}
    assert len(told) > 10
    assert sorted(stage for stage in told if f"stage.{stage}" not in TEXTS) == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_told_in_chinese_from_its_fields(kind):
    assert f"error.{kind.__name__}" in TEXTS, f"texts/errors.py has no {kind.__name__}"
    names = [
        node.arg
        for node in ast.walk(ast.parse(inspect.getsource(errors)))
        if isinstance(node, ast.keyword) and node.arg
    ]
    assert fields(TEXTS[f"error.{kind.__name__}"][0]) <= {*names, "message"}


def example_fields(kind):
    """Fields as an error of this class carries them, from the keywords of its nearest constructor."""
    for owner in kind.__mro__[: kind.__mro__.index(FinancialModelError)]:
        if "__init__" not in vars(owner):
            continue
        source = inspect.getsource(owner.__init__)
        return dict.fromkeys(re.findall(r"(\w+)=", source.split("super().__init__")[1]), "x")
    return {}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_chinese_error_names_no_field_that_its_class_does_not_carry(kind):
    told = Translate("zh").error(kind.__name__, "in English", {"message": "m", **example_fields(kind)})
    assert told != "in English"
    assert CHINESE.search(told)


def test_a_bad_setting_is_told_with_its_name_and_its_range():
    error = errors.BadSetting("epochs", 0, "a number from 1 to 10000")
    assert (
        Translate("zh").error("BadSetting", str(error), error.fields)
        == "轮数 的值“0”不可用，应为1 到 10000 之间的数。"
    )
    assert Translate("en").error("BadSetting", str(error), error.fields) == str(error)


def test_the_units_of_a_file_are_told_in_chinese_on_the_chinese_page():
    one = {"key": "own_bars_other", "message": "m", "file": "a.csv", "code": "SH600519"}
    one["units"] = "lots with amounts in thousand CNY"
    assert Translate("zh").warning(one).endswith("成交量单位判定为：手，成交额为千元。")
    many = {"key": "import.volume_units", "message": "m", "units": {"assumed shares": 2, "lots": 1}}
    assert Translate("zh").warning(many) == "成交量单位判定为：股（没有成交额，无法核对） 2 只、手 1 只。"


@pytest.mark.parametrize("told", ["torch 2.9.0, 1 thread", "torch 2.9.0, 8 threads"])
def test_one_thread_and_many_are_told_in_chinese(told):
    assert Translate("zh").measured(told).endswith(" 线程")


def test_a_command_that_is_shown_is_copied_as_it_was():
    line = "python -m financial_model train --name 'a b' --codes SH600519"
    box = command_box(Translate("en"), line)
    assert html.unescape(re.sub("<[^>]*>", "", box.split("<button")[0])) == line


def test_an_error_nobody_knows_is_told_in_its_own_words():
    assert Translate("zh").error("Unheard", "something odd", {}) == "something odd"


def test_braces_in_what_was_seen_do_no_harm():
    error = errors.BadSetting("name", "{0.__class__}", "a list")
    assert "{0.__class__}" in Translate("zh").error("BadSetting", str(error), error.fields)


@pytest.mark.parametrize(
    ("value", "chinese", "english"),
    [
        (842, "842", "842"),
        (48_600, "4.86 万", "48.6 k"),
        (3.2e8, "3.2 亿", "320 M"),
        (-12_345, "−1.23 万", "−12.3 k"),
    ],
)
def test_counts_are_written_as_each_language_writes_them(value, chinese, english):
    assert Translate("zh").count(value) == chinese
    assert Translate("en").count(value) == english


def test_unknown_figures_are_a_dash():
    assert figure(None) == percent(float("nan")) == "—"
