"""What people and programs hand over (settings, arguments, fields) is taken or refused in one clear line."""

import json
import shutil
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model import cli
from financial_model.base.config import DownloadSettings, TrainSettings
from financial_model.base.errors import BadSetting, FinancialModelError, NoSuchJob
from financial_model.base.workspace import Workspace, write_json
from financial_model.cli.options import newest_match, settings_of
from financial_model.ui import actions, api
from financial_model.ui.job import COMMANDS
from financial_model.ui.jobs import Jobs
from tests.reliability.damage import door, ends_well, json_files, json_values, numbers, strange_text

# ---------------------------------------------------------------------- settings and arguments


@door
@given(st.data())
def test_settings_files(tmp_path_factory, data):
    command = data.draw(st.sampled_from(sorted(COMMANDS)))
    kind = COMMANDS[command][0]
    needed = {"path": "x", "checkpoint": "x", "checkpoints": ["x"]}
    sound = kind.from_json({k: v for k, v in needed.items() if k in kind.__dataclass_fields__}).to_json()
    path = tmp_path_factory.getbasetemp() / "settings.json"
    path.write_bytes(data.draw(json_files(sound)))
    made = ends_well(lambda: settings_of(kind, path))
    if made is not None:  # what was taken can be kept beside a result, and read again
        write_json(path, made.to_json())
        assert kind.from_json(json.loads(path.read_text(encoding="utf-8"))) == made


@pytest.mark.parametrize("values", [{"\ud800": None}, {"name": "\ud800"}, {"codes": [{"\ud800": "\udfff"}]}])
def test_half_a_sign_in_a_name_or_a_value_is_told_in_a_line_that_a_file_takes(values):
    with pytest.raises(FinancialModelError) as refused:
        TrainSettings.from_json(values)
    assert "\\ud800" in str(refused.value)
    json.dumps(refused.value.fields, ensure_ascii=False).encode()


def test_settings_nested_without_end_are_refused(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(FinancialModelError):
        settings_of(TrainSettings, path)


words = st.text(string.printable, max_size=12) | st.sampled_from(
    ["--", "-", "--epochs", "nan", "[", "**a", "0**", "~x/y", "a" * 5000, "\ud800"]
)


@door
@given(
    command=st.sampled_from(["train", "forecast", "evaluate", "backtest", "import", "analyze"]),
    options=st.lists(
        st.tuples(st.sampled_from(["--config", "--checkpoint", "--codes", "--as-of", "--out"]), words)
    ),
)
def test_arguments_of_the_command_line(tmp_path_factory, capsys, monkeypatch, command, options):
    folder, empty = (tmp_path_factory.getbasetemp() / name for name in ("shell", "empty"))
    empty.mkdir(exist_ok=True)
    monkeypatch.chdir(empty)
    with pytest.raises(SystemExit) as left:
        cli.main([command, "--workspace", str(folder), *(word for pair in options for word in pair)])
    assert left.value.code in (0, 2)
    assert "Traceback" not in capsys.readouterr().err
    assert not folder.exists()
    assert not list(empty.iterdir())


# ---------------------------------------------------------------------- the page and its interface


@door
@given(st.data())
def test_fields_of_the_interface(tmp_path_factory, data):
    root = tmp_path_factory.getbasetemp() / "interface"
    shutil.rmtree(root, ignore_errors=True)
    jobs = Jobs(Workspace(root / "workspace"))
    command = data.draw(st.sampled_from(sorted(COMMANDS)) | strange_text)
    kind = COMMANDS.get(command, (DownloadSettings,))[0]
    names = st.sampled_from([*kind.__dataclass_fields__, "unheard_of"])
    values = data.draw(st.dictionaries(names, json_values, max_size=4) | json_values)
    after = data.draw(st.none() | strange_text)
    job = ends_well(lambda: jobs.start(command, api.settings_of(command, values), after or None))
    for act in (jobs.get, jobs.stop):
        name = data.draw(strange_text)
        ends_well(lambda act=act, name=name: act(name))
    if job is not None:
        json.dumps(api.describe(jobs.get(job.id), with_result=True)).encode()
        assert len(jobs.all()) == 1
    if root.exists():
        assert [path.name for path in root.iterdir()] == ["workspace"]
        assert {path.name for path in (root / "workspace").iterdir()} <= {"jobs"}


@pytest.mark.parametrize("strange", ["\ud800", "../x", 7, ["a"], {"a": 1}])
def test_what_can_be_no_job_or_no_command_is_said_to_be_none(tmp_path, strange):
    jobs = Jobs(Workspace(tmp_path))
    with pytest.raises(NoSuchJob):
        jobs.start("simulate", api.settings_of("simulate", {}), strange)
    for act in (jobs.get, jobs.stop):
        with pytest.raises(NoSuchJob) as refused:
            act(strange)
        str(refused.value).encode()
    with pytest.raises(BadSetting, match="command is"):
        api.settings_of(strange, {})
    assert jobs.all() == []


@door
@given(st.data())
def test_fields_of_the_page(data):
    text, number = strange_text, numbers | strange_text | st.none()
    draw = data.draw
    four = [draw(number) for _ in range(4)]
    ends_well(lambda: actions.simulate_settings(*four))
    stocks, start, codes, connections, servers = (
        draw(number),
        draw(text),
        draw(text),
        draw(number),
        draw(text),
    )
    ends_well(lambda: actions.download_settings(stocks, start, codes, connections, servers))
    path, count = draw(text), draw(number)
    ends_well(lambda: actions.import_settings(path, count))
    ends_well(lambda: actions.optional_count("max_stocks", count))
    for language in ("zh", "en"):
        assert "<img" not in actions.attempt(language, lambda: actions.import_settings(path))


@pytest.mark.parametrize(
    "out", ["/etc/x.csv", "../x.csv", "link/x.csv", "full_stock_data/x.csv", "jobs/x.csv", "a\0.csv", "."]
)
def test_a_job_of_the_page_writes_its_result_inside_the_workspace_and_over_no_data(tmp_path, out):
    workspace = Workspace(tmp_path / "workspace")
    workspace.root.mkdir()
    (workspace.root / "link").symlink_to(tmp_path)
    jobs = Jobs(workspace)
    with pytest.raises(FinancialModelError, match="cannot be used as a name"):
        jobs.start("forecast", api.settings_of("forecast", {"checkpoint": "a.pt", "out": out}))
    assert jobs.all() == []
    for inside in ("output/x.csv", str(workspace.output_dir / "x.csv")):
        assert jobs.start("forecast", api.settings_of("forecast", {"checkpoint": "a.pt", "out": inside}))


@pytest.mark.parametrize("pattern", ["0**", "**a", "a**/b"])
def test_a_pattern_of_checkpoints_that_is_none_is_said_to_be_none(tmp_path, pattern):
    with pytest.raises(BadSetting, match="a file or a pattern"):
        newest_match(pattern, tmp_path)
