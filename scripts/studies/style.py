"""Run all three noises in full on both styles and write docs/RESULTS.md and its pictures.

Runs that exist are not run again, so an interrupted script goes on where it was.

    python scripts/studies/style.py [--runs runs/results] [--docs docs]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.style import study

if __name__ == "__main__":
    start(study, study_parser(__doc__, runs=Path("runs/results")))
