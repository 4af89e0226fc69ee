from small_net import net

from asr_core import insert_asr


def test_report():
    model = net()
    before = sum(p.numel() for p in model.parameters())
    report = insert_asr(model, targets=["1", "4", "6"], create_affine=True)
    assert report.names == ["1", "4", "6"]
    assert [p.kind for p in report.positions] == ["batch norm", "batch norm", "linear"]
    assert [p.axis for p in report.positions] == [1, 1, -1]
    assert [p.channels for p in report.positions] == [8, 6, 5]
    assert [p.created for p in report.positions] == [(), ("weight", "bias"), ()]
    hidden = 4
    sizes = [c + c * hidden + hidden + hidden * c + c for c in (8, 6, 5)]
    assert [p.gate_parameters for p in report.positions] == sizes
    assert sum(p.numel() for p in report.parameters()) == sum(sizes)
    created = 12
    assert sum(p.numel() for p in model.parameters()) == before + created + sum(sizes)
    assert {id(p) for p in report.parameters()} <= {id(p) for p in model.parameters()}
    assert model[1].asr is report.positions[0].gate
    assert not report.refusals


def test_report_is_a_plain_table():
    report = insert_asr(net(), "const", targets="*", create_affine=True, delta=2)
    lines = repr(report).splitlines()
    assert lines[0] == (
        "ASR(attention='const', delta=2, psi=0.1, activation='sigmoid', attention_init=None, "
        "control=None)"
    )
    assert lines[1].split("  ")[0] == "position"
    assert lines[2].split() == ["0", "conv", "1", "8", "0", "-"]
    assert lines[5].split() == ["4", "batch", "norm", "1", "6", "0", "weight,", "bias"]
    assert lines[7].split() == ["5", "in", "all", "0"]
    assert lines[8].startswith("gated outputs start at 0.276 of their scale on average; for a ")
    assert lines[9].startswith("γ and β were created for '4': the fused model has parameters that ")
    assert lines[10] == (
        "no gate on '2': a ReLU has no output-channel parameters to fold a gate into"
    )
    assert "preserve=True" in report.note
    assert all(line == line.rstrip() for line in lines)
