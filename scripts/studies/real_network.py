"""docs/results/real-network.md and its data, from what `robust study network` measured.

robust study network --out runs/study-network
python scripts/studies/real_network.py [--runs runs/study-network] [--docs docs]
"""

from pathlib import Path

from robust.studies.command import start, study_parser
from robust.studies.real_network_page import study

if __name__ == "__main__":
    start(study, study_parser(__doc__, runs=Path("runs/study-network")))
