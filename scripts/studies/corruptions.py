"""How do classifiers hold under corruptions and adversarial attacks?

Tests the clean-trained networks of the noise study (study_noise.py, which makes what is missing) on
the 15 standard corruptions, and on every third test image under FGSM, PGD and a stronger suite.
Trains nothing, tests what was not tested yet, and writes docs/results/
corruptions.md. Three seeds of six variants take about 50 minutes on one free core.

    python scripts/studies/corruptions.py [--runs runs/noise] [--seeds 3]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.corruptions import study

if __name__ == "__main__":
    start(study, study_parser(__doc__, runs=Path("runs/noise"), seeds=3))
