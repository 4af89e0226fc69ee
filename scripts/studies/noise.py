"""How do classifiers hold under normalisation noise, at test and in training?

Five seeds of six variants, trained clean and under each of three noises, on the embedded patches:
the clean-trained ones are attacked (phase test), the others tested clean on three kinds of
statistics (phase train). Trains and tests what is missing and writes docs/results/noise.md, also
from part of the seeds: it then says which are missing. The 120 runs take about an hour on two free
cores, their tests half of that.

    python scripts/studies/noise.py [--runs runs/noise] [--workers 2] [--no-train]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.noise import study

if __name__ == "__main__":
    parser = study_parser(__doc__, runs=Path("runs/noise"), seeds=5, workers=2)
    parser.add_argument(
        "--no-train", dest="train", action="store_false", help="take the runs that are there"
    )
    start(study, parser)
