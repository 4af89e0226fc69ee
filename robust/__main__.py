"""``python -m robust``: the same as the command ``robust``.

Python puts the working folder first on its path for ``-m``. It is taken off: a ``torch.py`` there
would be run in the place of torch. (A MODEL ``package.module:factory`` that a command names is
looked for there too, last: :mod:`robust.models.names`.)
"""

import os
import sys


def _leave_working_folder() -> None:
    """Off the path; last, where it is the only place that this package can be imported from."""
    here = os.getcwd()
    if sys.flags.safe_path or sys.path[:1] not in ([""], [here]):
        return
    del sys.path[0]
    if os.path.dirname(os.path.dirname(os.path.abspath(__file__))) == here:
        sys.path.append(here)


if __name__ == "__main__":
    _leave_working_folder()

    from robust.cli import main

    main(prog_name="robust")
