"""What options mean: settings over those of a file, the newest file of a pattern."""

from financial_model.cli.options import newest_match

from .conftest import run


def test_options_win_over_the_config_file(workflow, tmp_path):
    seen = []
    workflow(lambda settings, workspace, progress: seen.append(settings) or {})
    config = tmp_path / "s.json"
    config.write_text('{"stocks": 50, "seed": 9}')
    assert run("simulate", "--config", str(config), "--stocks", "12") == 0
    assert (seen[0].stocks, seen[0].seed) == (12, 9)


def test_a_pattern_finds_the_newest_checkpoint_in_the_workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "w" / "output"
    output.mkdir(parents=True)
    for day, name in enumerate(["first_20240101_000000_best.pt", "first_20240102_000000_best.pt"]):
        (output / name).touch()
        import os

        os.utime(output / name, (day, day))
    found = newest_match("output/first_*_best.pt", tmp_path / "w")
    assert found == str(output / "first_20240102_000000_best.pt")
