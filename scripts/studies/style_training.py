"""By which weight, and for how many steps, are the style networks to be trained?

Trains IN networks by every weight and for every number of steps, and writes docs/results/
style-training.md. What is finished is kept. On two cores it takes a day, on a GPU
some minutes.

    python scripts/studies/style_training.py [--device cuda --jobs 16] [--styles mosaic waves]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.style_training import study
from styletransfer.images.drawn import STYLES
from styletransfer.losses.choose import VGG16

if __name__ == "__main__":
    parser = study_parser(
        __doc__, runs=Path("runs/style-training"), batch_size=4, loss=VGG16, jobs=2, device="cpu"
    )
    parser.add_argument("--styles", nargs="+", default=STYLES.names(), choices=STYLES.names())
    parser.add_argument("--weights", nargs="+", type=float, default=[0.5, 0.7, 1.0, 1.5])
    parser.add_argument(
        "--steps", nargs="+", type=int, default=[1000, 500, 2000, 4000],
        help="the weights are tried with the first",
    )  # fmt: skip
    parser.add_argument(
        "--curve-of", nargs="+", default=["mosaic", "waves"], choices=STYLES.names(),
        help="styles that are trained for each number of steps",
    )  # fmt: skip
    start(study, parser)
