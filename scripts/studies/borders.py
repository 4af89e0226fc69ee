"""Why do batch statistics cost clean accuracy? Borders that training images alone have.

Trains nine small networks, with black, mirrored and no borders, tests them on running and on batch
statistics, and writes docs/results/borders.md: ten minutes on one core.

    python scripts/studies/borders.py [--runs runs/borders] [--seeds 3] [--epochs 4]
"""

from pathlib import Path

from robust.studies.borders import study
from robust.studies.command import start, study_parser

if __name__ == "__main__":
    start(
        study,
        study_parser(
            __doc__, runs=Path("runs/borders"), recipe="resnet11-embedded", epochs=4, seeds=3
        ),
    )
