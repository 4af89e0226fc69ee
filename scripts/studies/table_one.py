"""Table 1 of the paper's supplementary on this machine: what attention costs at inference.

Measures ResNet164 plain, with live attention and with ASR fused, in turns, for both image sizes,
and writes docs/results/costs.md. Ten minutes on a free core.

    python scripts/studies/table_one.py [--batch-size 16] [--rounds 7] [--docs docs]
"""

from robust.studies.command import start, study_parser
from robust.studies.table_one import study

if __name__ == "__main__":
    start(study, study_parser(__doc__, batch_size=16, rounds=7))
