"""``robust list``: every name that other commands take, as text and as JSON."""

import json
import re

import pytest
from click.testing import CliRunner

from robust.cli import main, names
from robust.norm_noise import NOISES, default_severities, parse_severity


def listed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["list", *arguments], prog_name="robust")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("styles", names.styles()),
        ("norm variants", names.norms()),
        ("noises", list(NOISES)),
        ("attention", names.attentions()),
        ("data sets", names.data_sets()),
        ("controls", ["const", "frozen", "free-v"]),
    ],
)
def test_the_text_holds_every_name_under_its_heading(heading: str, known: list[str]) -> None:
    sections = re.split(r"^(?=\S)", listed(), flags=re.M)
    (section,) = [text for text in sections if text.startswith(heading)]
    assert set(known) <= set(re.split(r"[\s,]+", section))


def test_the_json_holds_every_name_and_what_it_is_good_for() -> None:
    told = json.loads(listed("--json"))
    for noise, texts in told["noises"].items():
        assert tuple(parse_severity(noise, text) for text in texts) == default_severities(noise)
    assert told["norms"] == names.norms()
    assert told["styles"] == {name: names.shipped_seeds(name) for name in names.styles()}
    assert told["data"] == names.data_sets()
    assert (told["attention"]["dia"], told["attention"]["se"]) == ("live only", "live or ASR gate")
    assert told["controls"] == names.CONTROLS


def test_a_style_without_networks_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "shipped_seeds", lambda style: [])
    assert "none shipped" in listed()
