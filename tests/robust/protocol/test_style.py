"""The losses of style networks, from an attack's measurements; by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from asr_core.errors import InputError
from robust.protocol.style import style_losses

HEAD = "norm,noise,severity,seed,image,metric,value"


def metrics(folder: Path, *, without: str = "") -> Path:
    rows = [HEAD]
    for norm, base in (("in", 1.0), ("bn", 3.0), ("bn+asr", 2.0), ("bn+const", 9.0)):
        for image, more in (("a", 0.0), ("b", 0.5)):
            rows += [
                f"{norm},batch,2,0,{image},loss,{base + more - 0.1}",
                f"{norm},batch,2,0,{image},loss,{base + more + 0.3}",  # a second draw
                f"{norm},batch,4:noise,0,{image},loss,{base + more}",
                f"{norm},batch,1,0,{image},loss,99",  # the control
                f"{norm},clean,,0,{image},loss,99",
                f"{norm},batch,2,0,{image},blur,99",
            ]
    text = "\n".join(row for row in rows if not (without and row.startswith(without)))
    (folder / "metrics.csv").write_text(text + "\n")
    return folder


def test_draws_and_severities_are_averaged_and_controls_left_out(tmp_path: Path) -> None:
    a, b = style_losses(metrics(tmp_path))
    assert (a.seed, a.image, b.image) == (0, "a", "b")
    assert (a.instance, a.batch, a.ours) == pytest.approx((1.05, 3.05, 2.05))
    assert b.batch == pytest.approx(3.55)


def test_a_norm_that_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no loss of bn\+asr under batch noise 2 for a"):
        style_losses(metrics(tmp_path, without="bn+asr,batch,2,"))


def test_what_is_no_attack_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="robust attack --full"):
        style_losses(tmp_path)
    (tmp_path / "metrics.csv").write_text(HEAD + "\n")
    with pytest.raises(InputError, match="no loss of in, bn"):
        style_losses(tmp_path)


@pytest.mark.parametrize(
    "text",
    [b"norm,noise\nbn,batch\n", b"\xff\xfe\x00a\n", HEAD.encode() + b"\nbn,batch,2,x,a,loss,1\n"],
    ids=["columns", "bytes", "numbers"],
)
def test_what_is_no_table_of_measurements_is_one_error(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(text)
    with pytest.raises(InputError, match=r"metrics\.csv: no"):
        style_losses(tmp_path)
