"""Who may talk to the page."""

import asyncio

import pytest

from financial_model.base.errors import BadSetting
from financial_model.ui.app import listen, serve
from financial_model.ui.security import MAX_BODY_BYTES, SameOrigin, password_check

OWN = {"host": "127.0.0.1:7860"}


def refused(method="POST", path="/gradio_api/queue/join", is_local=True, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SameOrigin(None, is_local).refusal(method, path, {**OWN, **named})


def test_the_page_itself_and_programs_without_a_browser_may_pass():
    assert refused() is None
    assert refused(origin="http://127.0.0.1:7860", sec_fetch_site="same-origin") is None
    assert refused(host="localhost:7860", origin="http://localhost:7860") is None
    assert refused(host="[::1]:7860") is None
    assert refused("GET", "/", sec_fetch_site="cross-site", sec_fetch_mode="navigate") is None


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"},
    ],
)
def test_another_page_may_not_start_anything(headers):
    assert refused(**headers)[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "[bad"])
def test_a_name_that_was_bound_to_this_machine_is_refused(host):
    assert refused(host=host)[0] == 421


def test_beyond_this_machine_any_host_may_ask_but_no_other_origin():
    assert refused(is_local=False, host="box.lan:7860", origin="http://box.lan:7860") is None
    assert refused(is_local=False, host="box.lan:7860", origin="http://evil.example")[0] == 403


def test_uploads_and_large_bodies_are_refused():
    assert refused(path="/gradio_api/upload")[0] == 404
    assert refused(content_length=str(MAX_BODY_BYTES + 1))[0] == 413
    assert refused(content_length="many")[0] == 413
    assert refused(content_length="²")[0] == 413  # a digit to Python, and no number


def test_a_body_that_does_not_tell_its_length_is_cut_off():
    seen = []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            seen.append(message["type"])
            if message["type"] == "http.disconnect":
                return

    async def receive():
        return {"type": "http.request", "body": b"x" * 300_000, "more_body": True}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"127.0.0.1:1")]}
    asyncio.run(SameOrigin(app)(scope, receive, None))
    assert seen == ["http.request"] * 3 + ["http.disconnect"]


def test_no_answer_may_be_shown_in_a_frame_of_another_page():
    sent = []

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"127.0.0.1:1")]}
    asyncio.run(SameOrigin(app)(scope, None, send))
    assert sent[0]["headers"] == [(b"a", b"b"), (b"x-frame-options", b"SAMEORIGIN")]
    assert sent[1]["body"] == b"page"


def test_listening_beyond_this_machine_needs_a_password():
    with pytest.raises(BadSetting, match="--auth"):
        serve(host="0.0.0.0")


def test_passwords_are_compared_whole():
    check = password_check("ann", "sesame")
    assert check("ann", "sesame")
    assert not check("ann", "sesam")
    assert not check("anna", "sesame")
    assert not check("ann", "sésame")


def test_a_taken_port_gives_the_next_free_one():
    with listen("127.0.0.1", 18760) as first, listen("127.0.0.1", 18760) as second:
        assert second.getsockname()[1] > first.getsockname()[1] >= 18760
