"""Pictures of every tab, in both languages, light and dark, wide and narrow, of a page that is running.

    python gradio_app.py --no-browser --workspace W
    python benchmarks/screenshots.py --url http://127.0.0.1:7860 --out pictures

Prints what the browser complained of; a page that scrolls sideways is told too.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

TABS = ("download", "universe", "basic", "multi", "inference", "evaluation", "runs", "system")
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
HEIGHTS = {390: 844, 1280: 900, 1440: 900, 1760: 1000}


def take(
    browser: Browser, url: str, out: Path, language: str, theme: str, width: int, tabs: list[str]
) -> int:
    """Pictures of some tabs in one language, theme and width; how many complaints there were."""
    complaints = 0
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHTS.get(width, 900)},
        locale="zh-CN" if language == "zh" else "en-US",
        color_scheme=theme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    seen: list[str] = []
    page.on("console", lambda message: seen.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#chips .name")
    page.wait_for_timeout(2000)
    for tab in tabs:
        page.evaluate(f"window.Hermes.openTab('{tab}')")
        page.wait_for_timeout(2000)
        page.screenshot(path=out / f"{tab}-{language}-{theme}-{width}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            seen.append(f"{tab} scrolls sideways at {width}")
    for text in seen:
        print(f"{language} {theme} {width}: {text}")
        complaints += 1
    context.close()
    return complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:7860")
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    parser.add_argument("--tabs", default=",".join(TABS))
    parser.add_argument("--languages", default="zh,en")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--widths", default="1280,390")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    complaints = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        for language in options.languages.split(","):
            for theme in options.themes.split(","):
                for width in map(int, options.widths.split(",")):
                    tabs = options.tabs.split(",")
                    complaints += take(browser, options.url, options.out, language, theme, width, tabs)
        browser.close()
    print(f"pictures in {options.out}, {complaints} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
