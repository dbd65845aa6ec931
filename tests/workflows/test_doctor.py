"""The doctor: measured values, one verdict, nothing asked of the network when told so."""

import http.server
import threading
from pathlib import Path

from financial_model.base.config import DoctorSettings
from financial_model.base.progress import Progress
from financial_model.base.workspace import Workspace
from financial_model.workflows import doctor as room
from financial_model.workflows.doctor import check_disk, check_port, check_workspace, doctor


def test_every_check_has_a_state_a_value_and_where_needed_a_remedy(tmp_path):
    result = doctor(DoctorSettings(skip_servers=True), Workspace(tmp_path), Progress())
    names = [check["name"] for check in result["checks"]]
    assert names[:4] == ["python", "packages", "torch", "gpu"]
    assert "servers" not in names
    for check in result["checks"]:
        assert check["state"] in ("ok", "warn", "fail")
        assert check["value"]
        assert check["remedy"] in room.REMEDIES or (check["remedy"] == "" and check["state"] == "ok")
    assert result["verdict"] in ("ok", "warn")


def test_a_port_that_answers_is_seen():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert "another program answers" in check_port(server.server_port)[1]
        assert "--port" in check_port(server.server_port)[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_folder_that_does_not_exist_yet_is_judged_by_its_parent(tmp_path):
    assert check_workspace(tmp_path / "new" / "deeper")[0] == "ok"
    assert check_disk(tmp_path / "new" / "deeper")[1].endswith("GB free")


def test_little_room_on_the_disk_is_a_warning_and_less_a_failure(tmp_path, monkeypatch):
    def with_free(gb: float):
        usage = type("Usage", (), {"free": gb * 2**30})
        monkeypatch.setattr(room.shutil, "disk_usage", lambda path: usage)
        return check_disk(Path(tmp_path))[0]

    assert [with_free(gb) for gb in (100.0, 2.0, 0.1)] == ["ok", "warn", "fail"]
