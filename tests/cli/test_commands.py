"""The commands: what each hands on, and bad usage as one clear line."""

import pytest

from financial_model.cli import commands

from .conftest import run


def test_a_walk_forward_takes_the_options_of_its_trainings_over_those_of_the_file(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(commands, "run", lambda target, settings, *_: seen.append(settings))
    config = tmp_path / "s.json"
    config.write_text('{"train": {"epochs": 3, "model": {"hidden_size": 64, "layers": 1}}, "folds": 2}')
    assert run("walk-forward", "--config", str(config), "--epochs", "5", "--layers", "3") == 0
    train = seen[0].train
    assert (seen[0].folds, train.epochs, train.model.hidden_size, train.model.layers) == (2, 5, 64, 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ["simulate", "--stocks", "many"],
        ["simulate", "--stocks", "-3"],
        ["simulate", "--unheard-of"],
        ["unheard-of"],
        ["import"],
        ["train", "--heads", "7"],
        ["train", "--train-end", "yesterday"],
        ["train", "--loss", "hope"],
        ["simulate", "--config", "missing.json"],
    ],
)
def test_bad_usage_is_one_line_and_status_two(arguments, capsys):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("option", ["--workspace", "--job"])
def test_a_file_where_a_folder_is_asked_for_is_one_line_and_status_two(option, tmp_path, capsys):
    stone = tmp_path / "stone"
    stone.write_text("x")
    assert run("simulate", "--stocks", "5", "--sessions", "300", option, str(stone)) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "stone" in captured.err


def test_a_forecast_of_named_stocks_and_of_all_is_refused(capsys):
    assert run("forecast", "--checkpoint", "a.pt", "--codes", "SH600000", "--all") == 2
    assert "one or the other" in capsys.readouterr().err
    assert run("forecast", "--checkpoint", "a.pt", "--codes", "SH600000", "--bars", "mine.csv") == 2
    assert "one or the other" in capsys.readouterr().err
