"""``robust list``: every name that other commands take, as text and as JSON."""

import json
import re

import pytest
from click.testing import CliRunner

import styletransfer.zoo
from asr_core import ATTENTIONS
from robust.cli import main
from robust.norm_noise import NOISES, default_severities, parse_severity
from styletransfer.images.drawn import STYLES
from styletransfer.network import NORMS


def listed(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["list", *arguments], prog_name="robust")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize(
    ("heading", "registry"),
    [("styles", STYLES), ("norm variants", NORMS), ("noises", NOISES), ("attention", ATTENTIONS)],
)
def test_the_text_holds_every_name_under_its_heading(heading: str, registry: object) -> None:
    sections = re.split(r"^(?=\S)", listed(), flags=re.M)
    (section,) = [text for text in sections if text.startswith(heading)]
    words = re.split(r"[\s,]+", section)
    names = list(registry)  # type: ignore[call-overload]
    assert names
    assert set(names) <= set(words)


def test_the_json_holds_every_name() -> None:
    found = json.loads(listed("--json"))
    assert list(found["styles"]) == STYLES.names()
    assert found["norms"] == NORMS.names()
    assert list(found["noises"]) == NOISES.names()
    assert list(found["attention"]) == ATTENTIONS.names()


def test_severities_are_in_the_form_that_options_take() -> None:
    found = json.loads(listed("--json"))["noises"]
    for noise, texts in found.items():
        assert tuple(parse_severity(noise, text) for text in texts) == default_severities(noise)


def test_modules_that_cannot_be_gates_say_so() -> None:
    found = json.loads(listed("--json"))["attention"]
    assert found["dia"] == "live only"
    assert found["se"] == "live or ASR gate"


def test_styles_tell_the_seeds_that_ship() -> None:
    seeds = json.loads(listed("--json"))["styles"]["mosaic"]
    shipped = styletransfer.zoo.shipped()
    assert seeds == sorted({network.seed for network in shipped if network.style == "mosaic"})
    assert seeds


def test_without_networks_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styletransfer.zoo, "shipped", lambda: [])
    assert "none shipped" in listed()
    assert json.loads(listed("--json"))["styles"]["mosaic"] == []
