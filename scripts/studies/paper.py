"""The declared endpoints: train, measure and decide; the first section of docs/RESULTS.md.

It is `robust study paper`, whose options these are.
"""

from __future__ import annotations

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.endpoints import study

if __name__ == "__main__":
    parser = study_parser(__doc__, workers=1, device="auto")
    parser.add_argument("--runs", type=Path, default=Path("runs/study-paper"))
    parser.add_argument("--style", type=Path, help="folder of an attack with batch noise")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--no-train", dest="train", action="store_false")
    start(study, parser)
