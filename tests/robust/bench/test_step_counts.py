"""Counting a step: on what can be counted by hand, and with a stand-in for valgrind."""

import sys

import pytest
import torch
from torch import nn

from robust.bench import step_counts as counts


def test_operators_by_hand():
    x = torch.ones(3, requires_grad=True)
    # Forward: mul, sum. Backward: ones_like, expand of the sum, mul; then detach for x.grad.
    seen = counts.operators(lambda: (x * 2).sum().backward())
    assert seen["aten.mul.Tensor"] == 2
    assert seen["aten.sum.default"] == seen["aten.ones_like.default"] == 1
    assert sum(counts.operators(lambda: x.detach()).values()) == 1
    assert not counts.operators(lambda: 1 + 1)


@pytest.mark.parametrize("size", [1024, 4096])
def test_bytes_are_what_is_taken_not_what_is_held(size):
    x = torch.zeros(size)

    def thrice():
        for _ in range(3):  # each is freed before the next one is taken
            x.neg().neg_()

    assert counts.allocated(thrice) == 3 * 4 * size
    assert counts.allocated(lambda: x.double().neg()) == 2 * 8 * size
    assert counts.allocated(lambda: x.neg_()) == 0


def test_both_counts_are_the_same_again():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.rand(2, 3, 8, 8)

    def step():
        model.zero_grad()
        model(x).sum().backward()

    step()
    assert counts.operators(step) == counts.operators(step)
    assert counts.allocated(step) == counts.allocated(step) > x.numel() * 4


def test_the_plane():
    exact = {(n, size): 100 + 7 * n + 5 * size + 3 * n * size for n in (1, 2) for size in (2, 4)}
    fitted = counts.plane(exact)
    assert fitted(18, 128) == pytest.approx(100 + 7 * 18 + 5 * 128 + 3 * 18 * 128)
    more = counts.plane({**exact, (1, 8): exact[1, 4] * 9})
    assert more(1, 8) != pytest.approx(exact[1, 4] * 9, rel=1e-3)  # least squares


def test_a_total():
    assert counts.read_total("events: Ir\nfn=(1)\n3 7\ntotals: 12345\n") == 12345
    with pytest.raises(ValueError, match="totals"):
        counts.read_total("events: Ir\n")


VALGRIND = """#!{python}
import os, pathlib, sys
assert "--tool=callgrind" in sys.argv and os.environ["OMP_NUM_THREADS"] == "1"
out = next(a for a in sys.argv if a.startswith("--callgrind-out-file=")).partition("=")[2]
print("==7== Callgrind, a profiler", file=sys.stderr, flush=True)
print("warm-up: a", flush=True)
for i, name in enumerate(["a, live", "b"], start=1):
    pathlib.Path(f"{{out}}.{{i}}").write_text(f"totals: {{i * 100}}\\n")
    print("counted " + name, flush=True)
{then}
"""


def stand_in(tmp_path, monkeypatch, then):
    valgrind = tmp_path / "valgrind"
    valgrind.write_text(VALGRIND.format(python=sys.executable, then=then))
    valgrind.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_counts_come_as_they_are_made(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "")
    said = []
    found = list(counts.instructions("pass", ["x"], say=said.append))
    assert found == [("a, live", 100), ("b", 200)]
    assert said == ["warm-up: a"]


def test_what_was_counted_before_a_failure_is_kept_and_the_failure_is_told(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "sys.exit('no memory left')")
    counting = counts.instructions("pass", [])
    assert [next(counting), next(counting)] == [("a, live", 100), ("b", 200)]
    with pytest.raises(RuntimeError, match=r"1(.|\n)*no memory left"):
        next(counting)


def test_the_process_ends_with_who_reads_it(tmp_path, monkeypatch):
    stand_in(tmp_path, monkeypatch, "import time; time.sleep(600)")
    counting = counts.instructions("pass", [])
    next(counting)
    process = counting.gi_frame.f_locals["process"]
    counting.close()
    assert process.poll() == -9


def test_no_valgrind(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="valgrind"):
        next(counts.instructions("pass", []))
