"""Run the noises in full on the styles that ship with several seeds; write docs/results/style.md.

Runs that exist are not run again, so an interrupted script goes on where it was.

    python scripts/studies/style.py [--runs runs/results] [--docs docs] [--noises batch ...]
        [--repeats 3]
"""

from pathlib import Path

from robust.norm_noise import NOISES
from robust.studies.command import start, study_parser
from robust.studies.style import study

if __name__ == "__main__":
    parser = study_parser(__doc__, runs=Path("runs/results"), repeats=3)
    parser.add_argument("--noises", nargs="+", choices=NOISES, default=list(NOISES))
    start(study, parser)
