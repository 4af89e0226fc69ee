"""robust.norm_noise.adaptation: statistics by name, for options and tables."""

import subprocess
import sys

import pytest

from asr_core.errors import InputError
from robust.norm_noise import Statistics, parse_statistics
from robust.norm_noise.adaptation import KINDS


@pytest.mark.parametrize(
    ("text", "statistics", "name"),
    [
        ("running", Statistics(), "running"),
        ("batch:4", Statistics("batch", size=4), "batch (n = 4)"),
        ("batch", Statistics("batch", size=64), "batch (n = 64)"),
        ("blend:16", Statistics("blend", size=64, prior=16), "blend (N = 16, n = 64)"),
        (" blend:16 : 8", Statistics("blend", size=8, prior=16), "blend (N = 16, n = 8)"),
        ("blend:0:8", Statistics("blend", size=8), "blend (N = 0, n = 8)"),
        ("re-estimated", Statistics("re-estimated"), "re-estimated"),
    ],
)
def test_what_a_text_names(text: str, statistics: Statistics, name: str) -> None:
    told = parse_statistics(text)
    assert (told, told.name) == (statistics, name)
    assert told.of_batch == (told.size > 0)
    assert told.kind in KINDS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("runing", "'runing'"),
        ("", "''"),
        ("batch:x", "'x' is no number"),
        ("batch:0", "0 images"),
        ("batch:257", "257 images"),
        ("batch:4:4", "'batch:4:4'"),
        ("blend", "'blend'"),
        ("blend:-1", "-1 images"),
        ("blend:1:0", "0 images"),
        ("blend:1:2:3", "'blend:1:2:3'"),
        ("running:4", "'running:4'"),
        ("re-estimated:4", "'re-estimated:4'"),
        ("batch:1.5", "'1.5' is no number"),
    ],
)
def test_other_texts_are_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        parse_statistics(text)


def test_names_are_read_without_torch() -> None:
    code = (
        "import sys; from robust.norm_noise.adaptation import parse_statistics as p; "
        "p('blend:4'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
