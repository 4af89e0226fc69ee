"""Does ASR train better classifiers? Five seeds of five variants on the embedded patches.

Trains what is missing, measures the cost of a step and of inference side by side, and writes the
docs/results/classification.md. The 25 runs take half an hour on two free cores.

    python scripts/studies/classification.py [--runs runs/classification] [--workers 2]
"""

from pathlib import Path

from robust.studies.classification import study
from robust.studies.command import start, study_parser

if __name__ == "__main__":
    start(
        study,
        study_parser(__doc__, runs=Path("runs/classification"), seeds=5, workers=2, rounds=15),
    )
