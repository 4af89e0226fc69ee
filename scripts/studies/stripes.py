"""Are there stripes, and when do gates stop moving? Appendices F and H on the embedded patches.

Trains what is missing with its gates recorded, draws every picture into the folder of its run and
the shown ones into docs/gallery, and writes docs/results/stripes.md.

    python scripts/studies/stripes.py [--runs runs/stripes] [--workers 1] [--only base ie]

The paper's own networks need its data, and more time:

    python scripts/studies/stripes.py --recipe resnet83-cifar100 --deeper resnet164-cifar100 \\
        --other resnet83-stl10 --data DIR --epochs 164 --milestones 81,122
"""

from dataclasses import asdict
from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.stripes import VARIANTS, Setup, study

if __name__ == "__main__":
    setup = asdict(Setup())
    del setup["data"]
    parser = study_parser(__doc__, runs=Path("runs/stripes"), workers=1, **setup)
    parser.add_argument("--data", help="folder of the recipes' data set")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    start(study, parser)
