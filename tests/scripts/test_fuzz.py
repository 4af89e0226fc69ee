"""The script that draws damaged inputs: the same from the same seed, and no fault goes unseen."""

import importlib
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
import types
from collections import Counter
from pathlib import Path

import click
import pytest
import torch
from pickles import called
from safetensors.torch import save

from asr_core.errors import InputError, ParityError
from robust.cli import COMMANDS, Lazy

SCRIPTS = Path(__file__).parents[2] / "scripts" / "checks"


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        yield


@pytest.fixture(scope="module")
def fuzz(_scripts):
    return importlib.import_module("fuzz")


@pytest.fixture(scope="module")
def watch(fuzz):
    return importlib.import_module("fuzzing.watch")


@pytest.fixture(scope="module")
def parts(fuzz):
    """Stands for the material: files of each kind, which no command would take."""
    models = importlib.import_module("fuzzing.models")
    tensors = {name: torch.rand(3, 4) for name in "abcdefgh"}
    files = {
        "safetensors": save(tensors),
        "json": json.dumps(
            {"schema": 1, "sha256": "0", "names": ["a", "b"], "x": {"y": 1}}
        ).encode(),
        "pt": importlib.import_module("fuzzing.damage").torch_bytes({"model": tensors, "epoch": 1}),
        "csv": b"step,loss\n0,1.5\n",
    }
    own = {part: {f"{part}.{end}": data for end, data in files.items()} for part in models.LINES}
    grid = {"grid.toml": models.GRID.encode()}
    return {**own, "data": {}, "picture.png": {"picture.png": b"x"}, "grid.toml": grid}


@pytest.fixture
def impatient(watch, monkeypatch):
    """A fraction of a second is a hang."""
    monkeypatch.setattr(watch, "SECONDS", 0.5)
    monkeypatch.setattr(watch, "WORK_SECONDS", 0.2)
    monkeypatch.setattr(watch, "_LITTLE", 0.1)


@pytest.fixture
def judge(fuzz, watch, tmp_path, monkeypatch):
    """The verdict on a command ``planted`` that does what the function does."""
    monkeypatch.setattr(watch, "BYTES", 200_000_000)

    def judge(function, *, work=False, files=None):
        module = types.ModuleType("planted")
        module.planted = click.command("planted")(function)
        monkeypatch.setitem(sys.modules, "planted", module)
        monkeypatch.setitem(COMMANDS, "planted", Lazy("planted:planted", "Do it."))
        case = fuzz.Case("commands:0:0", "planted", files or {}, ("planted",), work)
        ((_, verdict),) = watch.judged([case], tmp_path, jobs=1)
        assert not list(tmp_path.iterdir()), "nothing is left behind"
        return verdict

    return judge


def fail(error):
    def function():
        raise error

    return function


# --- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [InputError("x"), ParityError("x"), click.UsageError("x")])
def test_errors_of_ours_are_refusals(judge, error):
    verdict = judge(fail(error))
    assert (verdict.kind, verdict.what) == ("refused", type(error).__name__)


def test_what_ends_well_is_accepted(judge):
    assert judge(lambda: None).kind == "accepted"


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyboardInterrupt()])
def test_another_exception_is_an_internal_error(judge, error):
    verdict = judge(fail(error))
    assert verdict.kind == "INTERNAL ERROR"


def test_the_place_is_the_innermost_of_ours(judge):
    def function():
        from asr_core.saving.files import write_json

        write_json("x.json", float("nan"))

    verdict = judge(function)
    assert (verdict.kind, verdict.what) == ("INTERNAL ERROR", "ValueError")
    assert verdict.place == "asr_core/saving/files.py:write_json"


@pytest.mark.parametrize(("end", "what"), [(os.abort, "SIGABRT"), (lambda: os._exit(9), "exit 9"),
                                           (lambda: sys.exit(9), "exit 9")])  # fmt: skip
def test_an_end_that_is_not_declared_is_an_internal_error(judge, end, what):
    verdict = judge(lambda: end())
    assert (verdict.kind, verdict.what) == ("INTERNAL ERROR", what)


def spin():
    while True:
        pass


def wait_for_a_writer():
    with open("pipe", "rb") as file:
        file.read()


def wait_beside_a_clock():
    def tick():
        while True:
            time.sleep(0.02)

    threading.Thread(target=tick, daemon=True).start()
    wait_for_a_writer()


def look_now_and_then():
    while True:
        time.sleep(0.01)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("function", "what"),
    [
        (spin, "computes"),
        (wait_for_a_writer, "waits"),
        (wait_beside_a_clock, "waits"),
        (look_now_and_then, "waits"),
    ],
)
@pytest.mark.parametrize("work", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_hang_is_found_whether_it_computes_or_waits(fuzz, judge, function, what, work):
    case = importlib.import_module("fuzzing.case")
    verdict = judge(function, work=work, files={"pipe": case.Special("fifo")})
    assert (verdict.kind, verdict.what) == ("HANG", what)
    assert function.__name__ in verdict.said


@pytest.mark.usefixtures("impatient")
def test_work_that_was_asked_for_is_cut_and_is_no_hang(judge):
    def forward():
        layer = torch.nn.Sequential(torch.nn.Linear(300, 300))
        while True:
            layer(torch.zeros(300, 300))

    assert judge(forward, work=True).kind == "accepted"
    assert judge(forward, work=False).kind == "HANG"


def test_training_is_stopped_at_its_first_step(judge):
    def train():
        weight = torch.nn.Parameter(torch.zeros(1))
        torch.optim.SGD([weight], lr=1.0).step()
        raise RuntimeError("it went on")

    verdict = judge(train)
    assert (verdict.kind, verdict.what) == ("accepted", "training began")


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_malicious_pickles_call_something_and_are_refused(judge, fuzz, seed):
    damage = importlib.import_module("fuzzing.damage")
    data, _ = damage.malicious(fuzz.Random(seed))
    names = {name.split()[-1] for name in called(data)}
    assert names & {function.__name__ for function, _ in damage.CALLS}, "a careless reader runs it"

    def careful():
        try:
            torch.load("x", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError):
            raise InputError("refused") from None

    assert judge(careful, files={"x": data}).kind == "refused"


@pytest.mark.parametrize("index", range(3))
def test_what_malicious_pickles_call_is_found_when_it_runs(judge, fuzz, index):
    function, argument = importlib.import_module("fuzzing.damage").CALLS[index]
    assert judge(lambda: function(argument) and None).kind == "EXECUTED"


@pytest.mark.parametrize("start", [lambda: subprocess.run(["gs", "-v"]), lambda: os.system("gs")])
def test_a_program_that_is_started_is_found(judge, start):
    verdict = judge(lambda: start())
    assert (verdict.kind, verdict.what) == ("EXECUTED", "gs")


@pytest.mark.slow
def test_a_program_that_a_worker_starts_is_found(judge):
    def in_a_worker():
        worker = multiprocessing.get_context("fork").Process(target=os.system, args=("true",))
        worker.start()
        worker.join()

    assert judge(in_a_worker).kind == "EXECUTED"


@pytest.mark.slow
def test_a_module_of_the_working_folder_is_found_when_it_is_imported(judge):
    lines = importlib.import_module("fuzzing.lines")

    def imports():
        sys.path.insert(0, "")
        sys.modules.pop("torch")
        importlib.import_module("torch")

    assert judge(imports, files={"torch.py": lines._PLACED["torch.py"]}).kind == "EXECUTED"


@pytest.mark.slow
def test_much_memory_is_found_while_it_is_held_and_after(judge):
    def hold():
        held = bytearray(b"x") * 300_000_000
        while held:
            time.sleep(0.01)

    def drop():
        bytearray(b"x") * 300_000_000

    assert judge(hold).kind == "MEMORY"
    assert judge(drop).kind == "MEMORY"
    assert judge(lambda: bytearray(4 * 10**9)).kind == "MEMORY"


def test_memory_that_the_watcher_has_freed_counts_when_a_case_takes_it(judge):
    blocks = [bytearray(100_000) for _ in range(4000)]  # on the heap: small enough for no mapping
    kept = bytearray(100_000)  # above them, so that the heap can't shrink
    del blocks
    assert judge(lambda: [bytearray(b"x" * 100_000) for _ in range(4000)] and None).kind == "MEMORY"
    assert kept


@pytest.mark.parametrize("text", ["\x1b[31m", "a\u202eb"])
def test_control_characters_that_are_printed_are_found(judge, text):
    assert judge(lambda: click.echo(f"a file {text}")).kind == "RAW"
    assert judge(lambda: click.echo(f"a file {text}", err=True)).kind == "RAW"
    assert judge(lambda: click.echo("a\tfile, ψ, µ\n")).kind == "accepted"


# --- what is drawn --------------------------------------------------------------------------------


def test_a_seed_gives_the_same_cases_and_another_gives_others(fuzz, parts):
    wanted = fuzz.names(3, 120)
    assert {name.partition(":")[0] for name in wanted} == set(fuzz.KINDS)
    first, second = ([fuzz.make(name, parts) for name in wanted] for _ in range(2))
    assert first == second
    others = [fuzz.make(name, parts) for name in fuzz.names(4, 120)]
    same = sum(a.files == b.files and a.line == b.line for a, b in zip(first, others, strict=True))
    assert same < 12


def test_a_case_does_not_depend_on_those_before_it(fuzz, parts):
    names = fuzz.names(0, 60)
    alone = fuzz.make(names[-1], parts)
    assert [fuzz.make(name, parts) for name in names][-1] == alone


def test_more_cases_begin_with_those_of_fewer_and_have_the_shares(fuzz):
    few, many = fuzz.names(0, 300), fuzz.names(0, 1000)
    assert many[:300] == few
    assert len(set(many)) == 1000
    counts = Counter(name.partition(":")[0] for name in many)
    for kind, (_, share) in fuzz.KINDS.items():
        assert counts[kind] == pytest.approx(1000 * share, abs=1)
    assert {name.partition(":")[0] for name in fuzz.names(0, 20, "toml")} == {"toml"}


@pytest.mark.slow
def test_every_command_and_every_option_is_drawn(fuzz, parts):
    lines = importlib.import_module("fuzzing.lines")
    assert set(COMMANDS) <= {words.split()[0] for words in lines.tree()}
    drawn = [fuzz.make(f"commands:0:{i}", parts).line for i in range(8000)]
    for words, command in lines.tree().items():
        own = [line for line in drawn if " ".join(line).startswith(words)]
        given = {word.partition("=")[0] for line in own for word in line}
        for parameter in command.params:
            assert given & {*parameter.opts, *parameter.secondary_opts} or not parameter.opts[
                0
            ].startswith("-"), (words, parameter)


def test_a_new_command_is_drawn_too(fuzz, parts, monkeypatch):
    lines = importlib.import_module("fuzzing.lines")
    module = types.ModuleType("planted")

    @click.command("planted")
    @click.option("--new")
    def planted(new): ...

    module.planted = planted
    monkeypatch.setitem(sys.modules, "planted", module)
    monkeypatch.setitem(COMMANDS, "planted", Lazy("planted:planted", "Do it."))
    lines.tree.cache_clear()
    try:
        drawn = [fuzz.make(f"commands:0:{i}", parts).line for i in range(300)]
    finally:
        lines.tree.cache_clear()
    assert any(line[:2] == ("planted", "--new") for line in drawn)


@pytest.mark.slow
def test_what_is_not_damaged_is_accepted(fuzz, watch, tmp_path):
    """Else the damage would be refused for another reason."""
    models, parts = importlib.import_module("fuzzing.models"), fuzz.material()
    cases = []
    for part, lines in models.LINES.items():
        files = {**parts["data"], **parts["picture.png"], **parts["grid.toml"], **parts[part]}
        cases += [
            fuzz.Case(f"{part}:0:{i}", "whole", files, line, work=True)
            for i, line in enumerate(lines)
        ]
    found = {case.name: verdict for case, verdict in watch.judged(cases, tmp_path, jobs=2)}
    assert {name: v for name, v in found.items() if v.kind != "accepted"} == {}
    assert {name for name, v in found.items() if v.what == "training began"} == {
        "resumed:0:0",
        "restyled:0:0",
    }


# --- what is told ---------------------------------------------------------------------------------


def test_equal_faults_are_one_with_the_smallest_input(fuzz, watch, tmp_path):
    found = fuzz.Findings()
    place = "asr_core/x.py:f"
    for size in (30, 10, 20):
        case = fuzz.Case(f"toml:0:{size}", "cut | half", {"own.toml": b"x" * size}, ("sweep",))
        found.add(case, watch.Verdict("INTERNAL ERROR", "KeyError", place, "'a'\x1b[31m"))
        found.add(case, watch.Verdict("refused", "InputError", place))
    found.add(case, watch.Verdict("HANG", "waits", place))
    found.write(tmp_path)
    _, *rows = (tmp_path / "faults.csv").read_text().splitlines()
    assert [row.split(",")[:5] for row in rows] == [
        ["HANG", "waits", place, "1", "toml:0:20"],
        ["INTERNAL ERROR", "KeyError", place, "3", "toml:0:10"],
    ]
    assert (tmp_path / "inputs" / "toml-0-10" / "own.toml").read_bytes() == b"x" * 10
    table = (tmp_path / "faults.md").read_text()
    assert "\x1b" not in table
    assert table.count("\n") == 4


@pytest.mark.parametrize("fault", [False, True])
def test_the_exit_code_says_whether_there_is_a_fault(fuzz, tmp_path, monkeypatch, fault):
    def draw(rng, name, parts):
        files = {"recipes.toml": b"[data]" if fault else b"x = 1"}
        return fuzz.Case(name, "made", files, ("recipes.toml",))

    def reads(path):
        raise KeyError(path) if b"[data]" in Path(path).read_bytes() else InputError("x")

    monkeypatch.setattr(fuzz, "KINDS", {"toml": (draw, 1.0)})
    monkeypatch.setattr(fuzz, "material", dict)
    monkeypatch.setattr(importlib.import_module("fuzzing.child"), "read_recipes", reads)
    from click.testing import CliRunner

    result = CliRunner().invoke(fuzz.main, ["--count", "3", "--out", str(tmp_path / "out")])
    assert result.exit_code == int(fault), result.output
    assert ("KeyError" in (tmp_path / "out" / "faults.csv").read_text()) == fault
