"""Tables 5 and 6 of the paper's supplementary on the embedded patches.

Trains what is missing, and writes docs/results/sweeps.md. With the default seeds
and epochs it is 84 runs; the time is told before the first.

    python scripts/studies/sweeps.py [--runs runs/sweeps] [--seeds 3] [--epochs 4] [--workers 2]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.sweeps import study

if __name__ == "__main__":
    start(
        study,
        study_parser(
            __doc__,
            runs=Path("runs/sweeps"),
            recipe="resnet11-embedded",
            epochs=4,
            seeds=3,
            workers=2,
        ),
    )
