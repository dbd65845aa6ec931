"""What a command prints of a result."""

import json

from financial_model.cli.told import tell


def test_a_person_reads_few_digits_and_a_program_all(capsys):
    result = {"message": "Done.", "headline": {"en": "Done."}, "cost": 37981.2776491625, "share": 1 / 3}
    tell(result, as_json=False)
    assert capsys.readouterr().out == "Done.\n  cost: 37,981\n  share: 0.333333\n"
    tell(result, as_json=True)
    assert json.loads(capsys.readouterr().out) == result


def test_a_ranking_is_shown_best_first_and_says_where_the_rest_is(capsys):
    rows = [{"rank": k + 1, "code": f"SH60000{k % 10}", "name": "浦发银行", "score": 0.5} for k in range(25)]
    tell({"ranking": rows}, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "code", "name", "score"]
    assert lines[1].split() == ["1", "SH600000", "浦发银行", "0.5"]
    assert len(lines) == 22
    assert lines[-1].strip().startswith("and 5 more")
