"""Files of ours that somebody cut, changed or made up: read, or refused in one clear line.

CSV bars, .day files and the answers of quote servers have their own such tests in tests/data.
"""

import json
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.config import PanelSettings, TrainSettings
from financial_model.base.workspace import Workspace
from financial_model.data.bar_store import BarStore
from financial_model.data.download_ledger import DownloadLedger
from financial_model.data.panel import Panel
from financial_model.data.reference_store import KINDS, ReferenceStore, read_facts
from financial_model.ui import api
from financial_model.ui.header import header_chips
from financial_model.ui.jobs import Jobs
from financial_model.ui.market_status import read_market
from financial_model.ui.runs import RunReader, resume_settings
from financial_model.ui.translations import Translate
from financial_model.ui.view import View
from tests.reliability.damage import bytes_of, damaged, documents, door, edits, ends_well, json_files

# ---------------------------------------------------------------------- data

cells = st.sampled_from(
    ["", "nan", "inf", "-1", "1e308", "1e999", '"', "2018-06-29", "SH600000", "600000", "一"]
)


@door
@given(
    name=st.sampled_from(sorted(KINDS)),
    rows=st.lists(st.lists(cells | st.text(max_size=6), max_size=7), max_size=4),
    has_header=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    data=st.data(),
)
def test_tables_of_facts(tmp_path_factory, name, rows, has_header, encoding, data):
    kind = KINDS[name]
    header = ["code", *kind.dates, *kind.numbers, *kind.texts]
    text = "\n".join(",".join(row) for row in ([header] if has_header else []) + rows)
    path = tmp_path_factory.getbasetemp() / f"{name}.csv"
    written = text.encode(encoding, "replace")
    path.write_bytes(data.draw(st.just(written) | bytes_of(written)))
    facts = ends_well(lambda: read_facts(path, name))
    if facts is not None:
        assert all(len(values) == len(facts) for values in facts.columns.values())


def test_facts_are_merged_after_a_refused_table(tmp_path):
    header = "code,date,cash_per_10,bonus_per_10,rights_per_10,rights_price\n"
    store, path = ReferenceStore(Workspace(tmp_path)), tmp_path / "corporate_actions.csv"
    path.write_text(header + "SH600000,29th of June,1.5,0,0,0\n")
    assert ends_well(lambda: read_facts(path, "corporate_actions")) is None
    path.write_text(header + "SH600000,2018-06-29,1.5,0,0,0\n")
    store.merge("corporate_actions", read_facts(path, "corporate_actions"), {"SH600000"})
    np.testing.assert_array_equal(store.read("corporate_actions")["cash_per_10"], [1.5])


@pytest.fixture(scope="module")
def panel(whole, tmp_path_factory):
    """A workspace with the files of a panel, and a sound copy of the panel."""
    workspace = Workspace(tmp_path_factory.mktemp("panel"))
    shutil.copytree(whole[0].cache_dir, workspace.cache_dir)
    return workspace, whole[0].panel_path


@door
@given(st.booleans(), edits)
def test_the_panel(panel, in_front, edits):
    workspace, sound = panel
    panel_bytes = sound.read_bytes()
    # Damage falls on the words around the numbers: the schema in front, the index of blocks behind.
    if in_front:
        made = damaged(panel_bytes[:6000], edits) + panel_bytes[6000:]
    else:
        made = panel_bytes[:-3000] + damaged(panel_bytes[-3000:], edits)
    workspace.panel_path.unlink(missing_ok=True)  # the one before may still be mapped
    workspace.panel_path.write_bytes(made)

    def look():
        opened = Panel.open(workspace)
        return opened.column("close").tobytes(), opened.codes, opened.last_session

    ends_well(look)


@door
@given(st.data())
def test_metadata(tmp_path_factory, whole, data):
    sound = json.loads(whole[0].metadata_path.read_text(encoding="utf-8"))
    sound["retries"] = {"SH600009": {"code": "SH600009", "kind": "no_bars", "reason": "x", "times": 1}}
    workspace = Workspace(tmp_path_factory.getbasetemp() / "metadata")
    workspace.stock_data_dir.mkdir(parents=True, exist_ok=True)
    workspace.metadata_path.write_bytes(data.draw(json_files(sound)))
    store = BarStore(workspace)
    ends_well(lambda: store.check_market(True))
    ends_well(lambda: store.update_metadata(simulated=True, codes={}))
    ends_well(lambda: DownloadLedger(workspace, datetime(2020, 1, 2, tzinfo=UTC)))
    read_market(workspace)


# ---------------------------------------------------------------------- jobs and runs


@pytest.fixture(scope="module")
def job_files(tmp_path_factory):
    """What lies in the folder of a training that failed at its end."""
    job = Jobs(Workspace(tmp_path_factory.mktemp("sound"))).start("train", TrainSettings())
    progress = {"kind": "progress", "done": 1, "total": 2, "unit": "codes", "detail": ""}
    step = {"kind": "step", "time": 3.0, "step": 1, "step_count": 2, "epoch": 1, "epoch_count": 2}
    events = [
        {"kind": "stage", "time": 1.0, "stage": "train", "message": "m"},
        *(progress | {"time": time} for time in (2.0, 3.0, 9.0)),
        step
        | {"loss": 0.5, "parts": {"a": 1.0}, "samples_per_s": 9.0, "left_s": 3.0}
        | {"member": 1, "member_count": 1},
        {"kind": "epoch", "time": 4.0, "epoch": 1, "epoch_count": 2, "train_loss": 0.5, "valid_loss": 0.4},
        {"kind": "checkpoint", "time": 5.0, "path": "output/a_best.pt", "which": "best"},
        {"kind": "warning", "time": 5.0, "message": "m", "key": "no_amp"},
        {"kind": "error", "time": 6.0, "error": "NoPanel", "message": "m", "fields": {"path": "x"}},
    ]
    process = {"pid": 99_999_999, "identity": "1", "started_at": 1.0, "exit_code": 2, "ended_at": 9.0}
    return {
        "settings.json": json.loads((job.folder / "settings.json").read_text()),
        "process.json": process,
        "result.json": {"stocks": 3, "checkpoint": "output/a_best.pt"},
        "events.jsonl": events,
    }


STAMPS = ("20260102_100000", "99991399_999999", "99991231_235959")


@door
@given(st.data())
def test_files_of_jobs(tmp_path_factory, job_files, data):
    workspace = Workspace(tmp_path_factory.getbasetemp() / "jobs")
    shutil.rmtree(workspace.jobs_dir, ignore_errors=True)
    id_ = data.draw(st.sampled_from(STAMPS)) + "_train_0a0a"
    folder = workspace.jobs_dir / id_
    folder.mkdir(parents=True)
    chosen = data.draw(st.sampled_from(sorted(job_files)))
    for name, value in job_files.items():
        made = data.draw(documents(value)) if name == chosen else value
        if name == "events.jsonl":
            lines = made if isinstance(made, list) else [made]
            written = "\n".join(json.dumps(line) for line in lines).encode() + b"\n"
        else:
            written = json.dumps(made).encode()
        if name == chosen and data.draw(st.booleans()):
            written = data.draw(bytes_of(written))
        (folder / name).write_bytes(written)
    jobs = Jobs(workspace)
    seen = jobs.all()
    for job in seen:
        json.dumps(api.describe(job, with_result=True)).encode()
    RunReader(workspace).all(seen)
    for language in ("zh", "en"):
        header_chips(View(Translate(language), seen, read_market(workspace), workspace, None))
    ends_well(lambda: jobs.get(id_))
    ends_well(lambda: jobs.stop(id_))
    assert jobs.start("build-panel", PanelSettings()).state == "queued"


@door
@given(st.data())
def test_files_of_runs(tmp_path_factory, whole, data):
    source = next(whole[0].output_dir.glob("*_run.json"))
    workspace = Workspace(tmp_path_factory.getbasetemp() / "runs")
    workspace.output_dir.mkdir(parents=True, exist_ok=True)
    path = workspace.output_dir / source.name
    path.write_bytes(data.draw(json_files(json.loads(source.read_text(encoding="utf-8")))))
    metrics = source.name.replace("_run.json", "_metrics.jsonl")
    damaged = bytes_of(source.with_name(metrics).read_bytes())
    path.with_name(metrics).write_bytes(data.draw(damaged))
    (workspace.output_dir / "run_labels.json").write_bytes(data.draw(json_files({"a": "b"})))
    for run in RunReader(workspace).all([]):
        assert run.epochs
        run.best, run.span("train"), run.model, run.is_simulated
        ends_well(lambda run=run: resume_settings(run))
