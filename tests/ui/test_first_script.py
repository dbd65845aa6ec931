"""The page is right from its first picture on: in the reader's language, with what the header tells."""

import asyncio
import json

import pytest

from financial_model.ui.app import build_page
from financial_model.ui.checkpoints import choose_checkpoint
from financial_model.ui.first_script import Opening
from financial_model.ui.frame import Page
from financial_model.ui.jobs import Jobs
from financial_model.ui.runs import RunReader
from financial_model.ui.translations import LANGUAGES, Translate


@pytest.fixture
def make_page(workspace):
    async def build(page):
        return build_page(page)

    def make(language, space=workspace):
        page = Page(space, Jobs(space), Translate(language))
        return page, asyncio.run(build(page))  # without a running loop Gradio makes one, and leaves it open

    return make


def between(script, start, end):
    return json.loads(script.split(start, 1)[1].split(end, 1)[0])


@pytest.mark.parametrize(("built", "shown"), [("zh", "en"), ("en", "zh")])
def test_the_texts_put_in_place_are_those_of_a_page_made_in_that_language(make_page, built, shown):
    """Every component of a page made in one language and filled in in another is as one made in the other."""
    page, demo = make_page(built)
    _, other = make_page(shown)
    texts = page.texts(shown)
    components = demo.get_config_file()["components"]
    assert len(texts) > 150
    changed = 0
    for one, same in zip(components, other.get_config_file()["components"], strict=True):
        for name, value in texts.get(one["id"], {}).items():
            assert json.loads(json.dumps(value)) == json.loads(json.dumps(same["props"][name])), (one, name)
            changed += value != one["props"][name]
    assert changed > 250


def test_the_header_comes_with_the_page(make_page):
    page, _ = make_page("zh")
    script = Opening(page, None, "plotly.js", is_open=True)()
    now = between(script, "now = ", ";\n")
    assert now["mark"] == page.view("zh").mark()
    assert "No data yet" in now["header"]["en"][str(page.chips._id)]["value"]
    assert set(now["header"]) == set(LANGUAGES)


def test_where_a_login_stands_before_the_page_its_script_tells_nothing_of_the_work(make_page):
    page, _ = make_page("zh")
    now = between(Opening(page, None, "plotly.js", is_open=False)(), "now = ", ";\n")
    assert now == {"mark": "", "header": {}}


def test_no_text_can_end_the_script_it_stands_in(make_page, monkeypatch):
    page, _ = make_page("zh")
    evil = "</script><script>alert(1)</script><!--"
    monkeypatch.setattr("financial_model.ui.frame.header_chips", lambda view: evil)
    script = Opening(page, None, "plotly.js", is_open=True)()
    assert "</script" not in script
    assert "<!--" not in script
    assert between(script, "now = ", ";\n")["header"]["en"][str(page.chips._id)]["value"] == evil


def test_a_header_that_cannot_be_drawn_does_not_keep_the_page_from_opening(make_page, monkeypatch):
    page, _ = make_page("zh")
    monkeypatch.setattr("financial_model.ui.frame.header_chips", lambda view: 1 / 0)
    now = between(Opening(page, None, "plotly.js", is_open=True)(), "now = ", ";\n")
    assert now["header"] == {"zh": {}, "en": {}}


@pytest.mark.parametrize("place", ["inference", "evaluation"])
def test_a_tab_that_is_first_shown_counts_the_checkpoint_it_chooses(make_page, trained, place):
    """It never says for a moment that nothing has been trained."""
    page, _ = make_page("en", trained)
    inputs = [one.value for part in page.parts([place], True) for one in part.inputs]
    answers = page.tick([place], True, "en", {}, *inputs)
    texts = [one for one in answers if isinstance(one, str)]
    assert not [one for one in texts if Translate("en")("inference.no_checkpoint") in one]
    buttons = [one for one in answers if isinstance(one, dict) and "interactive" in one]
    assert any(one["interactive"] for one in buttons)


def test_a_run_that_was_stopped_before_its_first_best_is_not_chosen_for_the_reader(trained):
    best = next(trained.output_dir.glob("small_*_best.pt"))
    early = best.with_name("small_20991231_235959_epoch0_step3.pt")
    record = early.with_name("small_20991231_235959_run.json")
    early.write_bytes(best.read_bytes())
    record.write_bytes(next(trained.output_dir.glob("small_*_run.json")).read_bytes())
    try:
        view = Page(trained, Jobs(trained), Translate("en")).view("en")
        one = choose_checkpoint(RunReader(trained), view, None)
        many = choose_checkpoint(RunReader(trained), view, [], is_many=True)
        assert one["choices"][0][1] == f"output/{early.name}"
        assert one["value"] == f"output/{best.name}"
        assert many["value"] == [one["value"]]
    finally:
        early.unlink()
        record.unlink()


def test_whatever_a_live_part_is_drawn_from_has_it_drawn_again_when_it_changes(make_page):
    """A click in a table sets a state: without its change the page would wait for the next news."""
    page, demo = make_page("en")
    looks = [
        (set(event.targets), set(event.outputs))
        for event in demo.default_config.fns.values()
        if any(name == "change" for _, name in event.targets)
    ]
    checked = 0
    for place in page.places():
        for part in page.parts([place]):
            for one in part.inputs:
                checked += 1
                assert any((one._id, "change") in on and {*part.outputs} <= drawn for on, drawn in looks), one
    assert checked > 10
