"""``python -m rtmlops_lib.cli``."""

from rtmlops_lib.cli.main import main

if __name__ == "__main__":
    main()
