"""What a run wrote, as plain data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from asr_core.errors import InputError
from asr_core.saving.files import in_utf8
from asr_core.saving.text_files import JSON_BYTES


def read_run(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a run.

    Names in it may be of files whose bytes are not UTF-8, so it takes more than
    :func:`asr_core.saving.text_files.read_json`; the page escapes them.

    Raises:
        InputError: it is missing, too large, or no JSON object.
    """
    if not path.is_file():
        raise InputError(f"{in_utf8(path)}: not found")
    if path.stat().st_size > JSON_BYTES:
        raise InputError(f"{in_utf8(path)}: larger than {JSON_BYTES} bytes, the most that is read")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{in_utf8(path)}: not JSON of a run ({error})") from None
    if not isinstance(found, dict):
        raise InputError(f"{in_utf8(path)}: not JSON of a run")
    return found
