"""How near are the style networks to Gatys' optimisation of each picture?

Measures what is missing and writes docs/results/gatys.md. A photograph of 256
pixels takes 200 iterations, two to four minutes of one core; what is measured is kept, so that the
same command goes on where it was, and commands for different styles can run side by side.

    python scripts/studies/gatys.py [NETWORK ...] [--runs runs/gatys] [--photographs 12]
        [--iterations 200] [--precision bfloat16] [--style FILE]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.gatys.measure import Setting
from robust.studies.gatys.page import study

if __name__ == "__main__":
    defaults = Setting()
    parser = study_parser(
        __doc__,
        runs=Path("runs/gatys"),
        size=defaults.size,
        iterations=defaults.iterations,
        precision=defaults.precision,
        loss_network=defaults.loss_network,
        photographs=defaults.photographs,
    )
    parser.add_argument("networks", nargs="*", type=Path, help="style networks  [those that ship]")
    parser.add_argument("--style", help="style image of networks that have none beside them")
    start(study, parser)
