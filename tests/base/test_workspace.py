"""The workspace: nothing half written, nothing outside."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial_model.base.errors import (
    BadSetting,
    DamagedFile,
    DiskFull,
    UnsafePath,
    UnwritablePath,
    WorkspaceBusy,
)
from financial_model.base.workspace import (
    Workspace,
    check_name,
    freeing_apart,
    locked,
    output_path,
    read_json,
    remove_old_parts,
    replace_when_done,
    user_path,
    write_atomically,
    write_json,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), write_atomically(path, "w", encoding="utf-8") as file:
        file.write("half")
        raise RuntimeError("power cut")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_file_that_is_replaced_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    done = []
    monkeypatch.setattr(os, "fsync", lambda _: done.append("synced"))
    rename = os.replace
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("renamed"), rename(*names)))
    with replace_when_done(path) as beside:
        beside.write_bytes(b"new")
    assert done == ["synced", "renamed"]


@pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"), reason="files that are open are counted on Linux alone"
)
@pytest.mark.parametrize("fails", [False, True])
def test_the_old_file_is_let_go_whether_or_not_another_came(tmp_path, fails):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.suppress(LookupError), freeing_apart(path), replace_when_done(path) as beside:
        beside.write_bytes(b"new")
        if fails:
            raise LookupError
    for thread in threading.enumerate():
        if thread.name == "free-old-file":
            thread.join()
    assert len(os.listdir("/proc/self/fd")) == before
    assert path.read_bytes() == (b"old" if fails else b"new")
    with freeing_apart(tmp_path / "none yet"):
        pass


def test_the_old_file_is_let_go_where_no_thread_can_start(tmp_path, monkeypatch):
    def none(_):
        raise RuntimeError("can't start new thread")

    closed = []
    close = os.close
    monkeypatch.setattr(threading.Thread, "start", none)
    monkeypatch.setattr(os, "close", lambda held: (closed.append(held), close(held)))
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with freeing_apart(path):
        pass
    assert len(closed) == (os.name == "posix")


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(DiskFull, match="untouched"), write_atomically(path) as _:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "old"


def test_what_killed_writers_left_is_swept_when_it_is_old(tmp_path):
    old, young, whole = (tmp_path / name for name in (".a.json.7-0.part", ".b.json.8-0.part", "c.part"))
    folder = tmp_path / ".features.9-0.part"
    folder.mkdir()
    for path in (old, young, whole, folder / "x"):
        path.write_text("x")
    for path in (old, whole, folder):
        os.utime(path, (time.time() - 4000,) * 2)
    remove_old_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, whole.name]


def test_what_a_killed_writer_left_of_some_files_is_swept_at_once(tmp_path):
    mine, others = (
        ".run_1_best.pt.7-0.part",
        (".run_1_best_forecast.csv.8-0.part", ".run_12_best.pt.9-0.part"),
    )
    for name in (mine, *others, "run_1_best.pt"):
        (tmp_path / name).write_text("x")
    remove_old_parts(tmp_path, 0.0, r"run_1_(?:best|final)\.pt")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "run_1_best.pt"])


def test_json_comes_back_equal(tmp_path):
    value = {"名称": "平安银行", "numbers": [1, 2.5, None, True]}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value
    (tmp_path / "v.json").write_text(r'{"sign": "\ud83d\ude00"}')  # a whole sign, as other writers put it
    assert read_json(tmp_path / "v.json") == {"sign": "😀"}


@pytest.mark.parametrize(
    "text", ['{"a": ', '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', r'{"\ud800": 1}', "[" * 100_000]
)
def test_damaged_json_is_one_of_our_errors(tmp_path, text):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(DamagedFile, match="not JSON"):
        read_json(tmp_path / "v.json")


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:\\x",
        "c:x",
        "\\\\host\\share",
        "\\x",
        "a\0b",
        "",
        " ",
        "NUL",
        "out/com1.pt",
        "a" * 256,
        "一" * 86,
        "a/" * 3000,
    ],
)
def test_paths_that_leave_the_workspace_are_refused(tmp_path, path):
    with pytest.raises(UnsafePath):
        Workspace(tmp_path).inside(path)


@pytest.mark.parametrize("text", ["~stranger-to-this-machine/x", "a\0b", "a\ud800", "a" * 5000, "a/" * 5000])
def test_what_can_be_no_path_of_this_machine_is_refused_in_a_line_that_can_be_printed(text):
    with pytest.raises(UnsafePath) as refused:
        user_path(text)
    str(refused.value).encode()


def test_a_link_that_leads_out_is_refused(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "out").symlink_to(tmp_path)
    with pytest.raises(UnsafePath, match="link"):
        Workspace(tmp_path / "w").inside("out/x")


@given(text=st.text(max_size=60))
def test_no_text_leads_out_of_the_workspace(text):
    workspace = Workspace(REPOSITORY / "docs")
    try:
        path = workspace.inside(text)
    except UnsafePath:
        return
    assert path.is_relative_to(workspace.root)


@given(
    name=st.text(max_size=100) | st.sampled_from(["con", "NUL.txt", "a..b", "a.", "a/b", "a\\b", "é", "模型"])
)
def test_an_accepted_name_is_one_harmless_path_part(name):
    try:
        check_name(name)
    except UnsafePath:
        return
    assert Path(name).name == name
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert len(name) <= 80


def test_a_second_writer_is_told_who_holds_the_lock(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path; from financial_model.base.workspace import locked\n"
        "with locked(Path(sys.argv[1]), 'import', 'the store'):\n"
        "    print('held', flush=True); time.sleep(30)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline().strip() == "held"
        with pytest.raises(WorkspaceBusy, match="import pid"), locked(lock, "download", "the store"):
            pass
        owner.kill()
        owner.wait()
        deadline = time.monotonic() + 10
        while True:
            try:
                with locked(lock, "download", "the store"):
                    break
            except WorkspaceBusy:
                assert time.monotonic() < deadline, "a killed owner must not leave its lock behind"
                time.sleep(0.05)


def test_a_file_in_the_way_of_what_is_to_be_written_is_told_in_one_line(tmp_path):
    stone = tmp_path / "stone"
    stone.write_text("x")
    for path in (stone / "report.html", stone / "deep" / "report.html"):
        with pytest.raises(UnwritablePath, match=r"stone is a file and no folder"):
            output_path(path, ".html")
        with pytest.raises(UnwritablePath), write_atomically(path):
            pass
        with pytest.raises(UnwritablePath):
            Workspace(path.parent)
    for place in (stone / ".lock", tmp_path):  # below a file, and where a folder lies
        with pytest.raises(UnwritablePath), locked(place, "test", "It"):
            pass
    assert stone.read_text() == "x"


def test_a_folder_in_the_place_of_a_file_is_told_and_left_alone(tmp_path):
    (tmp_path / "there.html").mkdir()
    with pytest.raises(UnwritablePath, match="folder"):
        output_path(tmp_path / "there.html", ".html")
    with pytest.raises(UnwritablePath), write_atomically(tmp_path / "there.html") as file:
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_an_output_has_one_of_the_names_its_format_allows(tmp_path):
    assert output_path(tmp_path / "new" / "a.csv", ".csv", ".parquet") == tmp_path / "new" / "a.csv"
    with pytest.raises(BadSetting, match=r"\.csv or \.parquet"):
        output_path("a.html", ".csv", ".parquet")


def test_what_lies_beside_an_output_is_looked_at_too(tmp_path):
    report, beside = tmp_path / "a.html", tmp_path / "a.json"
    beside.write_text("somebody's")
    with pytest.raises(UnwritablePath, match=r"a\.json .*it is there already, and a\.html is not"):
        output_path(report, ".html", companions=(".json",))
    report.write_text("of the run before")
    assert output_path(report, ".html", companions=(".json",)) == report
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UnwritablePath, match=r"a\.csv .*it is a folder"):
        output_path(report, ".html", companions=(".json", ".csv"))


def test_a_folder_that_may_not_be_written_into_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write anywhere
    with pytest.raises(UnwritablePath, match="nothing may be written into"):
        output_path(tmp_path / "new" / "a.csv", ".csv")


def test_an_error_of_the_one_who_fills_a_file_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError), write_atomically(tmp_path / "a.csv"):
        (tmp_path / "absent").read_bytes()
