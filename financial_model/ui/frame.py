"""The frame around the tabs: texts that change with the language, and parts that change with the work.

A tab makes its widgets through `Page.make`, so that one event can set every text anew, and declares what
is alive through `Page.live`. Once a second the browser asks for `View.mark`, outside of Gradio, whose events
are dear to a browser; where it has changed, the live parts of the header and of the tab that is shown are
rendered and those that differ from what this browser has are sent; so nothing flickers, an idle page costs
next to nothing, and a reload or a second browser needs no extra code.
Live parts are written by these ticks alone; after an event that starts or stops something the browser asks
more often for a while.
"""

import functools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import gradio as gr

from ..base.workspace import Workspace
from .file_links import FileLinks
from .header import header_chips
from .jobs import Jobs
from .market_status import MarketReader
from .translations import Translate
from .view import View, mark_of
from .widgets import whole

LOG = logging.getLogger(__name__)
# Which text of a component its key fills; the key with .help and .placeholder fills the others.
MAIN_TEXT: dict[str, str] = {"Button": "value", "Markdown": "value", "DownloadButton": "label"}
HEADER = "header"
# Before an event that starts or stops something: the browser asks for news until they may be there.
LOOK_SOON = "(...values) => { window.Hermes.soon(); return values; }"


@dataclass
class Live:
    """One part of a tab, or of the header, that is rendered anew as the work goes on."""

    tab: str
    outputs: list[Any]
    render: Callable[..., Sequence[Any]]
    inputs: list[Any]


@dataclass
class Derived:
    """What follows from inputs and language alone, and the inputs whose change it follows."""

    tab: str
    outputs: list[Any]
    render: Callable[..., Sequence[Any]]
    inputs: list[Any]
    on: list[Any]


@dataclass
class Page:
    """What the tabs are built on."""

    workspace: Workspace
    jobs: Jobs
    t: Translate
    is_local: bool = True
    gpu: Callable[[], str | None] = lambda: None
    port: int | None = None
    language: Any = None
    chips: Any = None
    files: FileLinks = field(default_factory=FileLinks)
    _tab: str = HEADER
    _tabs: dict[str, Any] = field(default_factory=dict)
    _texts: list[tuple[Any, Callable[[Translate], dict[str, Any]]]] = field(default_factory=list)
    _live: list[Live] = field(default_factory=list)
    _derived: list[Derived] = field(default_factory=list)
    _opened: list[Live] = field(default_factory=list)
    _loaded_js: list[tuple[Any, str]] = field(default_factory=list)
    _complaints: dict[str, str] = field(default_factory=dict)
    _market: MarketReader = field(init=False)

    def __post_init__(self) -> None:
        self._market = MarketReader(self.workspace)

    # ------------------------------------------------------------------ texts

    def tab(self, name: str, **options: Any) -> Any:
        """The tab of that name; what is declared from here on belongs to it."""
        self._tab = name
        self._tabs[name] = self.make(gr.Tab, f"tab.{name}", id=name, elem_id=f"tab-{name}", **options)
        return self._tabs[name]

    def make(self, kind: Callable[..., Any], key: str, choices: str | None = None, **options: Any) -> Any:
        """A component whose texts come from `key` (and key.help, key.placeholder), in every language.

        choices: the prefix under which the values in options["values"] have their names. told: what the
        help is filled in with, such as the default of a setting.
        """
        values, told = options.pop("values", None), options.pop("told", {})
        main = MAIN_TEXT.get(kind.__name__, "label")

        def texts(t: Translate) -> dict[str, Any]:
            named: dict[str, Any] = {main: t(key)} if key else {}
            if key and t.has(f"{key}.help"):
                named["info"] = t(f"{key}.help", **told)
            if key and t.has(f"{key}.placeholder"):
                named["placeholder"] = t(f"{key}.placeholder")
            if values is not None:
                named["choices"] = [(t.choice(choices or key, value), value) for value in values]
            return named

        return self.retell(kind(**texts(self.t), **options), texts)

    def retell(self, component: Any, texts: Callable[[Translate], dict[str, Any]]) -> Any:
        """Have `texts` set a component's texts whenever the language changes."""
        self._texts.append((component, texts))
        return component

    def texts(self, language: str) -> dict[int, dict[str, Any]]:
        """What a browser is told of each component in a language, by the number of the component."""
        t, told = Translate(language), {}
        for component, render in self._texts:
            texts = render(t)
            if "value" in texts:
                texts["value"] = component.postprocess(texts["value"])
            told[component._id] = texts
        told[self.language._id] |= {"value": language}
        return told

    def html(self, render: Callable[[Translate], str], **options: Any) -> Any:
        """Fixed HTML in the page's language."""
        component = gr.HTML(render(self.t), apply_default_css=False, **options)
        return self.retell(component, lambda t: {"value": render(t)})

    # ------------------------------------------------------------------ what is alive

    def live(
        self, outputs: Sequence[Any], render: Callable[..., Sequence[Any]], inputs: Sequence[Any] = ()
    ) -> None:
        """Have `render(view, *inputs)` fill `outputs` while this tab is shown, where something changed."""
        self._live.append(Live(self._tab, list(outputs), render, list(inputs)))

    def derive(
        self,
        outputs: Sequence[Any],
        render: Callable[..., Sequence[Any]],
        inputs: Sequence[Any],
        on: Sequence[Any] | None = None,
    ) -> None:
        """Have `render(t, *inputs)` fill `outputs` whenever the language or one of `on` changes.

        on: by default the inputs that a person can change. A browser tells of a state as changed whenever an
        event could have changed it, so one that matters is named.
        """
        if on is None:
            on = [one for one in inputs if not isinstance(one, gr.State)]
        self._derived.append(Derived(self._tab, list(outputs), render, list(inputs), list(on)))

    def on_open(self, outputs: Sequence[Any], fill: Callable[[View], Sequence[Any]]) -> None:
        """Have `fill(view)` set `outputs` once, when a browser first shows this tab."""
        self._opened.append(Live(self._tab, list(outputs), fill, []))

    def on_load_js(self, component: Any, script: str) -> None:
        """Have a script of the browser set a component once, when the page is opened."""
        self._loaded_js.append((component, script))

    def view(self, language: str) -> View:
        return View(Translate(language), self.jobs.all(), self._market.read(), self.workspace, self.gpu())

    def click(
        self, button: Any, act: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> Any:
        """Have a button call `act(language, *inputs)`; what it starts or stops is seen at once."""
        return self.on(button.click, act, inputs, outputs)

    def on(self, trigger: Any, act: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
        """As `click`, for any event of a component. Two before the first was answered count as one."""
        return trigger(
            act,
            [self.language, *inputs],
            list(outputs),
            js=LOOK_SOON,
            show_progress="hidden",
            api_visibility="private",
            trigger_mode="once",
        )

    def parts(self, places: Sequence[str], is_opening: bool = False) -> list[Live]:
        """What is alive in these places, in their order; with what is filled when they are opened."""
        parts = [*self._live, *(self._filled() if is_opening else [])]
        return [part for place in places for part in parts if part.tab == place]

    def _filled(self) -> list[Live]:
        """What is set once, when a browser first shows a tab: what was asked for, and what is derived."""
        known = {one for part in self._opened for one in part.outputs}
        derived = [one for one in self._derived if not known.intersection(one.outputs)]
        return [
            *self._opened,
            *(Live(one.tab, one.outputs, _in_language_of_view(one.render), one.inputs) for one in derived),
        ]

    def tick(self, places: Sequence[str], is_opening: bool, language: str, *values: Any) -> list[Any]:
        """The live parts of some places; `gr.skip()` for each that this browser has already.

        values: for each place what the browser has seen of it, then the inputs of the parts in their order.
        """
        view, marks = self.view(language), {}
        seen = dict(zip(places, values, strict=False))
        rest = list(values[len(places) :])
        answers: list[Any] = []
        for place in places:
            before, after = dict(seen[place] or {}), {}
            for index, part in enumerate(self.parts([place], is_opening)):
                mine = [rest.pop(0) for _ in part.inputs]
                try:
                    contents = list(part.render(view, *mine))
                except Exception as error:
                    # One part that cannot be drawn (a torn file, say) must not hold up all the others.
                    self._complain(f"{place} {index}", error)
                    contents = [gr.skip()] * len(part.outputs)
                for position, content in enumerate(contents):
                    name, mark = f"{index}.{position}", mark_of(content)
                    after[name] = mark
                    answers.append(
                        gr.skip() if before.get(name) == mark else unbroken(part.outputs[position], content)
                    )
            marks[place] = after if after != before else gr.skip()
        return [*marks.values(), *answers]

    def places(self) -> list[str]:
        """The header and the tabs, in their order."""
        return [HEADER, *self._tabs]

    def _complain(self, part: str, error: Exception) -> None:
        """Log a part that cannot be drawn, once for each thing that is wrong with it."""
        text = f"{type(error).__name__}: {error}"
        if self._complaints.get(part) != text:
            self._complaints[part] = text
            LOG.exception("live part %s of the page cannot be drawn", part, exc_info=error)

    # ------------------------------------------------------------------ header

    def header(self) -> None:
        """The bar on top: name, what data there is, what runs, on what; language and theme."""
        with gr.Row(elem_id="header"):
            self.quiet = gr.Button(visible=False)
            self.chips = gr.HTML("", elem_id="chips", apply_default_css=False)
            self.language = self.retell(
                gr.Radio(
                    [("中文", "zh"), ("EN", "en")],
                    value=self.t.language,
                    container=False,
                    show_label=False,
                    elem_id="language",
                    elem_classes="seg",
                    label=self.t("frame.language"),
                ),
                lambda t: {"label": t("frame.language")},
            )
            self.html(_theme_button, elem_id="theme-toggle")
        self.live([self.chips], lambda view: [header_chips(view)])

    def header_now(self, language: str) -> dict[int, dict[str, Any]]:
        """What the header shows at this moment, by the number of the component."""
        try:
            return {self.chips._id: {"value": header_chips(self.view(language))}}
        except Exception as error:
            self._complain(f"{HEADER} opened", error)  # the page itself must open
            return {}

    def footer(self) -> None:
        self._tab = HEADER
        self.html(_footnote, elem_id="footnote")

    def wire(self, demo: gr.Blocks) -> None:
        """Connect the timer, the first load and the language; called when all tabs are built."""
        options: dict[str, Any] = {
            "show_progress": "hidden",
            "api_visibility": "private",
            "concurrency_limit": 16,
            "concurrency_id": "page",
        }
        texts = [component for component, _ in self._texts]

        def retell(language: str) -> list[Any]:
            t = Translate(language)
            return [gr.update(**render(t)) for _, render in self._texts]

        first = next(iter(self._tabs))
        seen = {place: gr.State({}) for place in self.places()}
        bells = {
            place: gr.HTML("", apply_default_css=False, js_on_load=_hang(place, place in (HEADER, first)))
            for place in self.places()
        }

        def look(*places: str, is_opening: bool = False) -> dict[str, Any]:
            parts, states = self.parts(places, is_opening), [seen[place] for place in places]
            return {
                "fn": functools.partial(self.tick, places, is_opening),
                "inputs": [self.language, *states, *(one for part in parts for one in part.inputs)],
                "outputs": [*states, *(one for part in parts for one in part.outputs)],
                **options,
            }

        # An event costs a browser a search through the whole page for each thing that it may fill. So a page
        # that is opened fills its header and its first tab, each other tab when it is first chosen.
        demo.load(**look(HEADER, first, is_opening=True))
        for tab in self._tabs:
            bells[tab].select(**look(tab, is_opening=True))
        for component, script in self._loaded_js:
            demo.load(None, None, [component], js=script, api_visibility="private")
        for derived in _merged(self._derived):
            gr.on(
                [*(component.change for component in derived.on), self.language.change],
                _in_language(derived),
                [self.language, *derived.inputs],
                derived.outputs,
                trigger_mode="always_last",
                **options,
            )
        changed = self.language.input(retell, [self.language], texts, **options)
        self.language.input(None, [self.language], None, js="(l) => window.Hermes.setLanguage(l)", **options)
        changed.then(**look(HEADER, *self._tabs))
        for tab, bell in bells.items():
            # What becomes due while an answer is on its way is looked at after it, never dropped. States are
            # among the inputs: what a click in a table chose is shown at once.
            inputs = [one for part in self.parts([tab]) for one in part.inputs]
            gr.on([bell.click, *(one.change for one in inputs)], trigger_mode="always_last", **look(tab))
        # For each component of an event that shows progress on it the browser searches the whole page, four
        # times an event; it does so for hidden progress too. One component stands for all.
        for event in demo.default_config.fns.values():
            event.show_progress_on = [self.quiet]


def unbroken(component: Any, content: Any) -> Any:
    """What a component shows; where that is HTML, without dates and codes that a line could break."""
    return whole(content) if isinstance(component, gr.HTML) and isinstance(content, str) else content


def _in_language(derived: Derived) -> Callable[..., list[Any]]:
    def render(language: str, *values: Any) -> list[Any]:
        contents = derived.render(Translate(language), *values)
        return [unbroken(*pair) for pair in zip(derived.outputs, contents, strict=True)]

    return render


def _hang(place: str, is_open: bool) -> str:
    """The script that hangs a bell: `select` is heard when a tab is first shown, `click` after that."""
    return f"window.Hermes.bell({json.dumps(place)}, trigger, {json.dumps(is_open)})"


def _merged(all_derived: Sequence[Derived]) -> list[Derived]:
    """What follows the same inputs as one: a browser looks through all events for each component it draws."""
    merged: list[Derived] = []
    for one in all_derived:
        same = next((two for two in merged if two.tab == one.tab and {*two.on} & {*one.on}), None)
        if same is None:
            merged.append(one)
        else:
            merged[merged.index(same)] = _both(same, one)
    return merged


def _both(first: Derived, second: Derived) -> Derived:
    def render(t: Translate, *values: Any) -> list[Any]:
        split = len(first.inputs)
        return [*first.render(t, *values[:split]), *second.render(t, *values[split:])]

    on = list(dict.fromkeys([*first.on, *second.on]))
    outputs, inputs = [*first.outputs, *second.outputs], [*first.inputs, *second.inputs]
    return Derived(first.tab, outputs, render, inputs, on)


def _in_language_of_view(render: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    return lambda view, *values: render(view.t, *values)


def _footnote(t: Translate) -> str:
    rises = "".join(
        f'<span class="when-{color}">{escape(t(f"word.rises_{color}"))}</span>' for color in ("red", "green")
    )
    return f'<div class="footnote"><span>{escape(t("word.advice"))}</span><span>{rises}</span></div>'


def _theme_button(t: Translate) -> str:
    label = escape(t("frame.theme"))
    return (
        f'<button type="button" class="icon-button" data-theme-toggle title="{label}" aria-label="{label}">'
        '<span class="sun">☀</span><span class="moon">☾</span></button>'
    )
