"""The walk a new user takes, in Chromium: from an empty folder to a training and back after a reload."""

import re
import shutil
import time
from pathlib import Path

import pytest

from .conftest import running_page

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
TABS = ("download", "universe", "basic", "multi", "inference", "evaluation", "runs", "system")
CHINESE = re.compile("[一-鿿]")
LONG_MS = 180_000
# What a page says of its requests in flight when it is reloaded or closed: that is no fault of the page.
CUT_OFF = re.compile("ERR_ABORTED|ERR_NETWORK|AbortError|Connection errored out")


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """A page on a folder of its own, which the tests of this file walk through one after the other."""
    folder = tmp_path_factory.mktemp("walk")
    with running_page(folder, port=18960) as url:
        yield url, folder


# The wanted tab is shown, and each chart in it has its picture or the sentence that stands for it.
READY = """(tab) => window.Hermes.shownTab() === tab && document.querySelector("#chips .chip")
  && [...document.querySelectorAll(`#tab-${tab} .chart`)].filter((one) => one.offsetWidth > 0).every(
    (one) => one.querySelector("h3").textContent
      && (one.querySelector(".empty").textContent || one.querySelector("svg")))"""


class Visit:
    """One browser window that remembers what went wrong in it."""

    def __init__(self, chromium, url, language="zh", width=1280):
        locale = "zh-CN" if language == "zh" else "en-US"
        self.context = chromium.new_context(viewport={"width": width, "height": 900}, locale=locale)
        self.page = self.context.new_page()
        self.page.set_default_timeout(LONG_MS)
        self.errors, self.hosts, self.is_leaving = [], set(), False
        self.page.on("console", lambda message: self.hear(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.hear(str(error)))
        self.page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        self.url = url
        self.open()

    def hear(self, error):
        if not (self.is_leaving and CUT_OFF.search(error)):
            self.errors.append(error)

    def open(self):
        self.is_leaving = True
        self.page.goto(self.url)
        self.is_leaving = False
        self.page.wait_for_selector("#tabs")
        # The first look at the work has arrived when the header names the application.
        self.page.wait_for_selector("#chips .name")
        self.page.wait_for_function(READY, arg=TABS[0])

    def tab(self, name):
        self.page.evaluate(f"window.Hermes.openTab('{name}')")
        self.page.wait_for_function(READY, arg=name)

    def see(self, text, where="body", timeout=LONG_MS):
        self.page.wait_for_function(
            "([where, text]) => [...document.querySelectorAll(where)].some(e => e.innerText.includes(text))",
            arg=[where, text],
            timeout=timeout,
            polling=300,
        )

    def until(self, is_so, what="it"):
        """Look again until it is so: what a busy machine draws late is no fault."""
        deadline = time.monotonic() + LONG_MS / 1000
        while not is_so():
            assert time.monotonic() < deadline, f"{what} never came to be so"
            self.page.wait_for_timeout(300)

    def field(self, tab, label):
        # The doors of the first start have fields of the same names.
        within = "#tab-download .settings" if tab == "download" else f"#tab-{tab}"
        return self.page.locator(within).get_by_label(label, exact=True).first

    def fill(self, tab, label, value):
        field = self.field(tab, label)
        field.fill(value)
        field.blur()

    def leave(self):
        self.is_leaving = True
        self.context.close()

    def check(self):
        own = {host for host in self.hosts if host.startswith("127.0.0.1:") or not host}
        assert self.hosts == own, f"requests to other hosts: {self.hosts - own}"
        assert "\n".join(self.errors) == ""


@pytest.fixture
def visit(chromium, walked):
    made = []

    def open_page(**options):
        made.append(Visit(chromium, walked[0], **options))
        return made[-1]

    yield open_page
    for each in made:
        each.leave()
    for each in made:
        each.check()


def test_1_an_empty_folder_shows_three_doors_and_bad_input_is_told_in_place(visit):
    window = visit()
    window.see("先准备行情数据")
    window.see("尚无数据", "#chips")
    assert window.page.locator(".door").count() == 3
    window.page.locator(".door").nth(2).locator("input").nth(0).fill("3")
    window.page.click("#door-practice-go")
    window.see("5 到 10000 之间的数", ".message")
    window.page.click("#door-import-go")
    window.see("文件夹", ".message.failed")


def test_2_the_practice_market_is_loaded_and_every_tab_learns_of_it(visit):
    window = visit()
    inputs = window.page.locator(".door").nth(2).locator("input")
    inputs.nth(0).fill("30")
    inputs.nth(1).fill("400")
    window.page.click("#door-practice-go")
    window.see("练习行情（模拟）", "#chips", LONG_MS)
    window.see("30 只 · 至", "#chips", LONG_MS)
    window.see("已就绪", "#download-headline", LONG_MS)


def test_3_a_training_is_started_found_again_after_a_reload_and_stopped(visit, walked):
    window = visit()
    window.tab("multi")
    page = window.page
    page.locator("#multi-preset label").nth(0).click()
    window.see("--hidden-size 64", "#tab-multi .command")
    window.fill("multi", "轮数", "0")
    page.click("#multi-start")
    window.see("1 到 10000 之间的数", "#multi-told")
    window.fill("multi", "轮数", "5000")
    page.locator("#tab-multi .fold > button").filter(has_text="加速与高级").click()
    window.fill("multi", "提前停止", "5000")  # it must not end by itself while this test looks at it
    window.fill("multi", "回看长度", "20")
    window.fill("multi", "批大小", "1024")
    window.see("--patience 5000", "#tab-multi .command")
    page.click("#multi-start")
    page.wait_for_selector("#multi-stop", timeout=LONG_MS)
    window.see("正在训练", "#chips", LONG_MS)
    page.wait_for_selector("#tab-multi .js-plotly-plot .scatterlayer .trace", timeout=LONG_MS)

    window.open()  # reload in the middle of the training
    window.see("正在训练", "#chips")
    window.tab("multi")
    page.wait_for_selector("#multi-stop")
    window.until(lambda: window.field("multi", "轮数").input_value() == "5000")
    page.wait_for_selector("#tab-multi .js-plotly-plot .scatterlayer .trace", timeout=LONG_MS)

    page.locator("#language label").nth(1).click()  # switch the language while it runs
    window.see("Training", "#chips")
    window.see("Stop and Save", "#tab-multi")
    window.see("Architecture", "#tab-multi")
    window.see("Name and output", "#tab-multi")
    window.until(lambda: not CHINESE.search(page.locator("#tab-multi .settings").inner_text()))

    window.tab("basic")  # a second start waits in the queue, visibly
    page.locator("#basic-preset label").nth(0).click()
    page.click("#basic-start")
    window.see("1 queued", "#chips")
    window.see("Queued: waits for training multi", "#basic-headline")
    window.see("Remove from Queue", "#basic-stop")
    page.click("#basic-stop")
    window.see("Taken out of the queue", "#basic-told")
    page.wait_for_selector("#basic-start")

    other = visit(language="en")  # a second browser finds the same job
    other.see("Training", "#chips")

    window.tab("multi")
    page.click("#multi-stop")
    window.see("Resume it under Runs", "#multi-headline", LONG_MS)
    page.wait_for_selector("#multi-start")
    assert list((walked[1] / "output").glob("multi_*.pt"))


def test_4_a_run_is_listed_renamed_and_deleted_after_a_question(visit, walked):
    window = visit(language="en")
    window.tab("runs")
    page = window.page
    page.locator("#tab-runs tr[data-code]").first.click()
    window.see("Selected: multi", "#tab-runs")
    window.fill("runs", "New name", "../evil")
    page.get_by_role("button", name="Rename").click()
    window.see("cannot be used as a name", "#tab-runs")
    window.fill("runs", "New name", "my first")
    page.get_by_role("button", name="Rename").click()
    window.see("Selected: my first", "#tab-runs")
    page.get_by_role("button", name="Delete…").click()
    window.see("This cannot be undone", "#tab-runs")
    page.get_by_role("button", name="Keep").click()
    assert list((walked[1] / "output").glob("multi_*_run.json"))
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    window.see("files deleted", "#tab-runs")
    assert not list((walked[1] / "output").glob("multi_*"))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_5_every_tab_opens_in_both_languages_without_foreign_text(visit, language):
    window = visit(language=language)
    for tab in TABS:
        window.tab(tab)
        where = window.page.locator(f"#tab-{tab}")
        window.until(
            lambda where=where: bool(CHINESE.search(where.inner_text())) == (language == "zh"),
            f"{tab}: {'Chinese' if language == 'zh' else 'no Chinese'} on its page",
        )


@pytest.mark.parametrize("width", [1280, 390])
def test_6_no_tab_makes_the_page_scroll_sideways(visit, width):
    window = visit(width=width)
    for tab in TABS:
        window.tab(tab)
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width, tab


@pytest.mark.parametrize("width", [1280, 390])
def test_6_header_and_tabs_stay_in_sight_of_who_scrolls(visit, width):
    page = visit(width=width).page
    page.set_viewport_size({"width": width, "height": 400})
    # Again and again, since the page grows until its tab has been drawn.
    page.wait_for_function("() => { window.scrollTo(0, 200); return window.scrollY > 100; }")
    top = "(one) => document.querySelector(one).getBoundingClientRect().top"
    assert [page.evaluate(top, one) for one in ("#header", "#tabs > .tab-wrapper")] == [0, 44]


def test_6_a_telephone_shows_the_stocks_without_scrolling_sideways_and_no_date_broken(visit):
    window = visit(language="en", width=390)
    window.tab("universe")
    page = window.page
    page.click("#universe-go")
    page.wait_for_selector("#universe-stocks td.named .narrow-only")
    window.until(lambda: page.locator("#tab-universe .js-plotly-plot .xaxislayer-above text").count() > 0)
    scroll = page.locator("#universe-stocks .scroll")
    assert scroll.evaluate("one => one.scrollWidth <= one.clientWidth")
    assert page.locator("#universe-stocks td.named code").first.is_visible()
    broken = """() => [...document.querySelectorAll("#tab-universe .whole")]
        .filter((one) => one.offsetWidth > 0 && one.getClientRects().length > 1)
        .map((one) => one.textContent)"""
    assert page.locator("#tab-universe .whole").count() > 3
    assert page.evaluate(broken) == []


def test_7_theme_and_colours_are_remembered(visit):
    window = visit()
    page = window.page
    page.click("[data-theme-toggle]")
    page.wait_for_function("document.body.classList.contains('dark')")
    window.tab("system")
    page.locator("#rises label").nth(1).click()
    page.wait_for_function("document.documentElement.classList.contains('green-rises')")
    window.open()
    page.wait_for_function("document.body.classList.contains('dark')")
    page.wait_for_function("document.documentElement.classList.contains('green-rises')")
    page.wait_for_function("getComputedStyle(document.body).getPropertyValue('--h-up').trim() === '#36BE86'")


def test_8_an_idle_page_draws_nothing(chromium, walked):
    """Sixty frames go by and nobody else asks for one: no animation is left running, seen or not."""
    context = chromium.new_context()
    page = context.new_page()
    page.add_init_script(
        """const next = window.requestAnimationFrame.bind(window);
        window.asked = 0;
        window.requestAnimationFrame = (draw) => { window.asked += 1; return next(draw); };
        window.pass = (count) => new Promise((done) => {
          const before = window.asked;
          const one = () => (count-- > 0 ? next(one) : done(window.asked - before));
          one();
        });"""
    )
    page.goto(walked[0])
    page.wait_for_selector("#chips .name", timeout=LONG_MS)
    deadline = time.monotonic() + LONG_MS / 1000
    while page.evaluate("window.pass(60)") > 10:
        assert time.monotonic() < deadline, "something is drawn on and on"
    assert page.evaluate("document.getAnimations().length") == 0
    context.close()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_8_opening_the_page_asks_for_one_event_and_draws_its_language_at_once(chromium, walked, language):
    """Each event has a browser look through the whole page; what is shown first comes with the page."""
    context = chromium.new_context(locale="zh-CN" if language == "zh" else "en-US")
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "queue/join" in request.url else None)
    page.goto(walked[0])
    button = page.wait_for_selector("#tab-system-button", timeout=LONG_MS)
    assert bool(CHINESE.search(button.inner_text())) == (language == "zh")
    page.wait_for_function(READY, arg=TABS[0], timeout=LONG_MS)
    # The event of the opening; one each for header and tab where news have come since the page was served.
    assert 1 <= len(asked) <= 3
    context.close()


def test_9_a_hostile_page_of_another_origin_starts_nothing(chromium, walked, tmp_path):
    url, folder = walked
    before = sorted(path.name for path in (folder / "jobs").iterdir())
    hostile = Path(tmp_path) / "hostile.html"
    call = '{"data": ["simulate", {}, ""]}'
    hostile.write_text(
        f"""<script>
        const calls = ["no-cors", "cors"].map((mode) =>
          fetch("{url}/gradio_api/call/start_job", {{method: "POST", mode, body: '{call}',
            headers: mode === "cors" ? {{"Content-Type": "application/json"}} : {{}}}}).catch(() => 0));
        </script><form action="{url}/gradio_api/call/start_job" method="post" enctype="text/plain">
        <input name='{call[:-1]}, "x": "' value='"}}'></form>
        <script>Promise.all(calls).then(() => document.forms[0].submit())</script>""",
        encoding="utf-8",
    )
    context = chromium.new_context()
    page = context.new_page()
    page.goto(hostile.as_uri())
    page.wait_for_url(f"{url}/**", timeout=LONG_MS)  # all three calls have been answered by then
    context.close()
    assert sorted(path.name for path in (folder / "jobs").iterdir()) == before


def test_9_a_page_of_another_origin_cannot_hold_this_one_in_a_frame(chromium, walked, tmp_path):
    """What is shown there, unseen, could be clicked on: a start, a stop, a deletion."""
    hostile = Path(tmp_path) / "frame.html"
    hostile.write_text(f'<iframe src="{walked[0]}" style="opacity:0"></iframe>', encoding="utf-8")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(hostile.as_uri())
    page.wait_for_function("frames.length == 1")
    page.wait_for_timeout(1000)
    inside = page.frames[1]
    shown = inside.url, inside.locator("#tabs").count()
    context.close()
    assert shown == ("chrome-error://chromewebdata/", 0)
