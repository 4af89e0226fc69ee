"""Checkpoints whose facts are written by hand, as a stranger or an older version would."""

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from asr_core.saving.checkpoint import META, load_meta


def write_facts(path: Path, facts: Any) -> None:
    """Put ``facts`` into the header of a checkpoint, as JSON unless they are a text."""
    text = facts if isinstance(facts, str) else json.dumps(facts)
    save_file(load_file(path), path, metadata={META: text})


def change_facts(path: Path, **changes: Any) -> None:
    """Replace some of the facts in the header; a change to ... takes one out."""
    facts = {**load_meta(path), **changes}
    write_facts(path, {name: value for name, value in facts.items() if value is not ...})


def as_old_pair(path: Path) -> Path:
    """Rewrite a checkpoint as older versions did; returns the JSON beside it."""
    facts = load_meta(path)
    save_file(load_file(path), path)
    facts["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2))
    return path.with_suffix(".json")
