"""``python -m robust``: the same as the command ``robust``."""

from robust.cli import main

if __name__ == "__main__":
    main(prog_name="robust")
