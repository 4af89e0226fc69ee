import subprocess
import sys

import asr_core

HEAVY = ("torchvision", "torch._dynamo", "sympy", "onnx", "pydantic", "safetensors")
LOADED = """
import sys
import asr_core, asr_core.errors, asr_core.limits, asr_core.registry
assert "torch" not in sys.modules
from asr_core import check_parity, fold_model, freeze_attention, fuse_asr, insert_asr, place
print(*sys.modules)
"""


def test_what_is_imported_is_what_is_used():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True
    )
    loaded = done.stdout.split()
    assert "torch" in loaded
    assert [name for name in HEAVY if name in loaded] == []


def test_every_name_that_is_exported_is_there():
    assert set(asr_core.__all__) <= set(dir(asr_core))
    assert all(getattr(asr_core, name) is not None for name in asr_core.__all__)
