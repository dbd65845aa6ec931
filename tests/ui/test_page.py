"""The page as a whole: what it serves, whom it refuses, and its interface to programs."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from financial_model.base.config import ModelSettings, TrainSettings
from financial_model.base.workspace import Workspace, write_json
from financial_model.ui.frame import HEADER, Page
from financial_model.ui.header import header_chips
from financial_model.ui.jobs import Jobs
from financial_model.ui.translations import Translate
from financial_model.ui.view import LOOK_AGAIN_S, tab_of


def ask(url, data=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **named})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


def test_the_page_and_its_own_script_are_served(page_url):
    status, body = ask(page_url)
    assert status == 200
    assert b"--h-accent" in body
    assert b"Hermes" in body
    assert ask(f"{page_url}/hermes/plotly.min.js")[0] == 200


def test_the_script_that_holds_theme_and_language_runs_before_all_others(page_url):
    _, body = ask(page_url)
    before, own, _ = body.partition(b"hermes.theme")
    assert own
    assert before.count(b"<script") == 1
    assert ask(f"{page_url}/config")[1][:1] == b"{", "other answers pass as they are"


def test_nothing_that_the_page_loads_names_another_host(page_url):
    import re

    _, body = ask(page_url)
    sources = re.findall(rb"""(?:src|href)=["'](https?://[^"']+)""", body)
    assert [source for source in sources if not source.startswith(page_url.encode())] == []


def test_a_request_of_another_page_starts_nothing(page_url):
    call = json.dumps({"data": ["simulate", {}, ""]}).encode()
    assert ask(f"{page_url}/gradio_api/call/start_job", call, Origin="https://evil.example")[0] == 403
    assert ask(f"{page_url}/gradio_api/call/start_job", call, Host="evil.example")[0] == 421


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=gradio_app.py",
        "/file=/etc/passwd",
        "/hermes/../gradio_app.py",
        "/hermes/%2e%2e/gradio_app.py",
        "/gradio_api/upload",
    ],
)
def test_no_route_reads_a_file_of_the_machine(page_url, path):
    status, body = ask(page_url + path)
    assert status >= 400
    assert b"root:" not in body
    assert b"argparse" not in body


FILE = {"meta": {"_type": "gradio.FileData"}, "orig_name": "x"}


@pytest.mark.parametrize("place", ["/etc/hostname", "http://127.0.0.1:9/x", "gradio_app.py"])
def test_a_reference_to_a_file_is_refused_wherever_it_is_sent_and_nothing_is_copied(page_url, place):
    """Gradio would copy the file to where the sender may fetch it, or ask the address for it."""
    dependencies = json.loads(ask(f"{page_url}/config")[1])["dependencies"]
    some = [one for one in dependencies if one["inputs"] and one["backend_fn"]][:12]
    assert some
    for one in some:
        reference = {"path": place, **FILE}
        for value in (reference, [[reference]], {"value": {"a": reference}}):
            session = secrets.token_hex(6)
            data = [value for _ in one["inputs"]]
            event = {"data": data, "fn_index": one["id"], "session_hash": session}
            assert ask(f"{page_url}/gradio_api/queue/join", json.dumps(event).encode())[0] == 200
            _, told = ask(f"{page_url}/gradio_api/queue/data?session_hash={session}")
            assert b"This page takes no files." in told
            assert b"/file=" not in told
    call = json.dumps({"data": [{"path": place, **FILE}]}).encode()
    for name in ("get_job", "stop_job"):
        _, event = ask(f"{page_url}/gradio_api/call/{name}", call)
        _, told = ask(f"{page_url}/gradio_api/call/{name}/{json.loads(event)['event_id']}")
        assert b"This page takes no files." in told


@pytest.mark.parametrize("told", [None, [], "code", {"code": None}, {"code": ["x"]}])
def test_a_click_or_a_key_that_tells_nothing_is_answered(page_url, told):
    config = json.loads(ask(f"{page_url}/config")[1])
    values = {one["id"]: one.get("props", {}).get("value") for one in config["components"]}
    drawn = {one["id"] for one in config["components"] if one["type"] not in ("button", "tabitem")}
    asked = [
        one
        for one in config["dependencies"]
        if one["backend_fn"]
        and any(c in drawn and event in ("click", "key_up") for c, event in one["targets"])
    ]
    assert len(asked) >= 7  # rows, tiles and a field that suggests; and the bells
    for one in asked:
        session = secrets.token_hex(6)
        question = {"data": [values.get(name) for name in one["inputs"]], "fn_index": one["id"]}
        question |= {"session_hash": session, "event_data": told, "trigger_id": one["targets"][0][0]}
        assert ask(f"{page_url}/gradio_api/queue/join", json.dumps(question).encode())[0] == 200
        _, answer = ask(f"{page_url}/gradio_api/queue/data?session_hash={session}")
        assert b'"success":true' in answer.replace(b" ", b""), answer


def test_programs_find_the_public_functions_and_no_others(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/start_job", "/load_market", "/get_job", "/list_jobs", "/stop_job", "/market"}


def test_a_program_is_told_in_our_words_what_does_not_fit(client):
    with pytest.raises(Exception, match=r"epochs is 0; expected a number from 1 to 10000"):
        client.predict("train", {"epochs": 0}, "", api_name="/start_job")
    with pytest.raises(Exception, match="one of simulate"):
        client.predict("rm", {}, "", api_name="/start_job")
    with pytest.raises(Exception, match="no job"):
        client.predict("../../etc", api_name="/get_job")
    with pytest.raises(Exception, match="No checkpoint was given"):
        client.predict("forecast", {}, "", api_name="/start_job")
    with pytest.raises(Exception, match="a folder or file that exists"):
        client.predict("import", {"path": "/nowhere/at/all"}, api_name="/load_market")


@pytest.mark.slow
def test_a_program_walks_from_a_market_to_a_forecast(client, page_workspace):
    def finish(job, limit_s=240):
        deadline = time.monotonic() + limit_s
        while (told := client.predict(job["id"], api_name="/get_job"))["state"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert told["state"] == "done", told
        return told

    settings = {"stocks": 20, "sessions": 400}
    finish(client.predict("simulate", settings, api_name="/load_market"))
    market = client.predict(api_name="/market")
    assert market["stocks"] == 20
    assert market["is_simulated"]
    small = {"model": "conditional", "context_length": 20, "hidden_size": 16, "layers": 1, "heads": 2}
    training = {"name": "api", "epochs": 1, "batch_size": 512, "model": small}
    trained = finish(client.predict("train", training, "", api_name="/start_job"))
    checkpoint = trained["result"]["checkpoint"]
    wanted = {"checkpoint": checkpoint, "all": True, "out": str(page_workspace / "output" / "f.csv")}
    finish(client.predict("forecast", wanted, "", api_name="/start_job"))
    assert (page_workspace / "output" / "f.csv").is_file()


def test_a_taken_port_is_said_clearly_and_the_next_one_is_used(page_url, tmp_path):
    port = page_url.rpartition(":")[2]
    command = [sys.executable, "gradio_app.py", "--no-browser", "--port", port, "--workspace", str(tmp_path)]
    command += ["--lang", "en"]
    from .conftest import REPOSITORY, end

    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as page:
        try:
            assert page.stdout is not None
            assert "http://127.0.0.1:" in page.stdout.readline()
            told = page.stdout.readline()
            assert f"go on in {page_url}" in told
            assert "--port" in told
        finally:
            end(page)


@pytest.mark.parametrize("arguments", [["--auth", "nopassword"], ["--lang", "fr"], ["--host", "0.0.0.0"]])
def test_bad_arguments_end_with_one_clear_line(arguments):
    from .conftest import REPOSITORY

    ended = subprocess.run(
        [sys.executable, "gradio_app.py", "--no-browser", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


# ---------------------------------------------------------------------- the frame without a server


@pytest.fixture
def page(workspace):
    return Page(workspace, Jobs(workspace), Translate("en"))


def test_the_header_says_that_there_is_no_data_and_then_which(page, workspace):
    assert "No data yet" in header_chips(page.view("en"))
    codes = {"SH600000": {"first": "2020-01-02", "last": "2024-12-31", "count": 9}}
    write_json(workspace.metadata_path, {"simulated": True, "codes": codes, "failures": {}})
    workspace.bars_dir.mkdir()
    (workspace.bars_dir / "SH600000.csv").write_text("", encoding="utf-8")
    workspace.cache_dir.mkdir()
    workspace.panel_path.write_bytes(b"")
    chips = header_chips(page.view("en"))
    assert "Practice market" in chips
    assert "1 stocks · to 2024-12-31" in chips
    assert "练习行情" in header_chips(page.view("zh"))


def test_what_comes_from_data_is_escaped_in_the_header(page, workspace):
    evil = "<script>alert(1)</script>"
    codes = {"SH600000": {"first": evil, "last": evil, "count": 1}}
    write_json(workspace.metadata_path, {"simulated": False, "codes": codes})
    workspace.bars_dir.mkdir()
    (workspace.bars_dir / "SH600000.csv").write_text("", encoding="utf-8")
    workspace.cache_dir.mkdir()
    workspace.panel_path.write_bytes(b"")
    assert "<script" not in header_chips(page.view("en"))


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"codes": [1]}', '{"codes": {"SH600000": 3}, "failures": 7}', "null"]
)
def test_a_torn_or_foreign_metadata_file_does_not_stop_the_page(page, workspace, text):
    workspace.metadata_path.parent.mkdir(parents=True)
    workspace.metadata_path.write_text(text, encoding="utf-8")
    header_chips(page.view("en"))


def test_a_part_that_cannot_be_drawn_does_not_hold_up_the_others(page):
    page.live(["broken"], lambda view: [1 / 0])
    page.live(["whole"], lambda view: ["fine"])
    seen, broken, whole = page.tick([HEADER], False, "en", {})
    assert whole == "fine"
    assert broken["__type__"] == "update"
    assert page.tick([HEADER], False, "en", seen)[2]["__type__"] == "update", (
        "what the browser has is not sent again"
    )


def test_whatever_happens_to_jobs_market_or_runs_is_news(page, workspace, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    marks = [page.view("en").mark()]
    workspace.output_dir.mkdir(parents=True)
    marks.append(page.view("en").mark())
    (workspace.output_dir / "a_20200101_000000_best.pt").write_bytes(b"")
    marks.append(page.view("en").mark())
    write_json(workspace.metadata_path, {"simulated": True, "codes": {}})
    marks.append(page.view("en").mark())
    job = page.jobs.start("train", TrainSettings())
    marks.append(page.view("en").mark())
    (job.folder / "events.jsonl").write_text('{"kind": "note"}\n', encoding="utf-8")
    marks.append(page.view("en").mark())
    page.jobs.stop(job.id)
    marks.append(page.view("en").mark())
    assert len(set(marks)) == len(marks)
    assert page.view("zh").mark() == marks[-1], "and where nothing happens there is none"
    monkeypatch.setattr("time.time", lambda: 1000.0 + LOOK_AGAIN_S)
    assert page.view("en").mark() != marks[-1], "but a shell may have done what no job tells"


def test_the_browser_can_ask_whether_there_is_news_and_others_cannot(page_url):
    status, mark = ask(f"{page_url}/hermes/mark")
    assert (status, len(mark)) == (200, 24)
    assert ask(f"{page_url}/hermes/mark", Host="evil.example")[0] == 421


def test_a_training_shows_in_the_tab_of_its_kind(page):
    page.workspace.root.mkdir()
    basic = page.jobs.start("train", TrainSettings(model=ModelSettings(model="lstm")))
    assert tab_of(basic) == "basic"
    assert tab_of(page.jobs.start("train", TrainSettings())) == "multi"


def test_importing_the_page_loads_no_torch_and_building_it_neither():
    code = (
        "import sys, tempfile, gradio_app\n"
        "from financial_model.ui.app import *\n"
        "space = Workspace(tempfile.mkdtemp())\n"
        "build_page(Page(space, Jobs(space), Translate('zh')))\n"
        "assert 'torch' not in sys.modules\n"
    )
    from .conftest import REPOSITORY

    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=120)


def test_a_workspace_that_is_not_there_yet_is_empty(tmp_path):
    page = Page(Workspace(tmp_path / "none"), Jobs(Workspace(tmp_path / "none")), Translate("en"))
    assert page.view("en").market.is_empty
    assert page.view("en").jobs == []


def test_the_page_takes_arrows_memory_from_the_system_and_its_jobs_do_not(make_jobs, monkeypatch):
    from financial_model.base.config import DoctorSettings
    from financial_model.ui import processes

    from .conftest import REPOSITORY

    code = (
        "from financial_model.ui import app\n"
        "import pyarrow\n"
        "assert pyarrow.default_memory_pool().backend_name == 'system'\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=True, timeout=120)
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    handed = []
    spawn = processes.spawn
    monkeypatch.setattr(processes, "spawn", lambda *all: handed.append(all[-1]) or spawn(*all))
    jobs = make_jobs()
    jobs.start("doctor", DoctorSettings())
    jobs.advance()
    assert "ARROW_DEFAULT_MEMORY_POOL" not in handed[0]


def test_sessions_that_ask_nothing_more_are_forgotten_and_one_at_work_is_not():
    from types import SimpleNamespace

    from financial_model.ui.sessions import ANSWER_KEPT_S, forget_answered

    messages = {"answered": "", "not fetched": "told", "at work": ""}
    ids = {"answered": set(), "not fetched": {"1"}, "at work": {"2"}, "without messages": set()}
    events = {"2": SimpleNamespace(session_hash="at work")}
    queue = SimpleNamespace(
        event_ids_to_events=events, pending_event_ids_session=ids, pending_messages_per_session=messages
    )
    silent = {}
    forget_answered(queue, silent, 0.0)
    forget_answered(queue, silent, ANSWER_KEPT_S)
    assert set(silent) == {"answered", "not fetched", "without messages"}
    events["3"] = SimpleNamespace(session_hash="answered")  # it asks again
    forget_answered(queue, silent, ANSWER_KEPT_S + 1)
    assert set(ids) == set(messages) == {"answered", "at work"}
    del events["3"]
    forget_answered(queue, silent, 2 * ANSWER_KEPT_S)
    assert "answered" in ids  # silent anew
    forget_answered(queue, silent, 3 * ANSWER_KEPT_S + 1)
    assert set(ids) == set(messages) == {"at work"}
    assert silent == {}


def test_a_queue_is_swept_by_the_calls_of_programs(monkeypatch):
    """In a process of its own: a page that is built leaves an event loop open."""
    code = (
        "import asyncio, tempfile\n"
        "from financial_model.ui import app, sessions\n"
        "app.gr.mount_gradio_app = lambda server, demo, **_: demo\n"
        "space = app.Workspace(tempfile.mkdtemp())\n"
        "page = app.Page(space, app.Jobs(space), app.Translate('en'))\n"
        "sessions.SWEEP_S, sessions.ANSWER_KEPT_S = -1.0, -1.0\n"
        "queue = app.make_server_app(page, 'en', None, 7860)._queue\n"
        "queue.pending_event_ids_session['answered'] = set()\n"
        "from gradio.data_classes import PredictBodyInternal\n"
        "fn = next(f for f in queue.blocks.fns.values() if f.api_name == 'list_jobs')\n"
        "body = PredictBodyInternal(data=[], fn_index=fn._id, session_hash='asks')\n"
        "async def ask():\n"
        "    queue.pending_message_lock = asyncio.Lock()\n"
        "    return await queue.push(body=body, request=None, username=None)\n"
        "assert asyncio.run(ask())[0] is True\n"
        "assert list(queue.pending_event_ids_session) == ['asks']\n"
    )
    from .conftest import REPOSITORY

    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=120)


def test_what_gradio_remembers_of_openings_and_calls_is_bounded():
    """In a process of its own: a page that is built leaves an event loop open."""
    code = (
        "import tempfile\n"
        "from gradio.state_holder import StateHolder\n"
        "from financial_model.ui import app, sessions\n"
        "sessions.MAX_SESSIONS = 3\n"
        "app.gr.mount_gradio_app = lambda server, demo, **_: demo\n"
        "space = app.Workspace(tempfile.mkdtemp())\n"
        "holder = StateHolder()\n"
        "page = app.Page(space, app.Jobs(space), app.Translate('en'))\n"
        "holder.set_blocks(app.make_server_app(page, 'en', None, 7860))\n"
        "for number in range(6):\n"
        "    holder[f'session {number}']\n"
        "    holder['session 0']  # a page that goes on asking is not the one forgotten\n"
        "assert set(holder.session_data) == {'session 0', 'session 4', 'session 5'}\n"
        "session = holder['session 0']\n"
        "shown = next(k for k, b in session.blocks_config.blocks.items() if b.get_block_name() == 'html')\n"
        "session[shown] = session[shown].__class__(value='new')\n"
        "session._update_config(shown)\n"
        "session._update_value_in_config(shown, 'x' * 1000)\n"
        "assert session[shown].value == 'new' and list(session.components) == []\n"
    )
    from .conftest import REPOSITORY

    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=120)
