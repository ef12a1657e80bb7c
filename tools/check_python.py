"""Refuse a Python that the lock does not cover, before anything is installed.

Runs under whatever `python3` is, so it uses nothing that an old one lacks.
"""

import sys


def main():
    """Exit with a message where this Python cannot be used."""
    found = "%d.%d" % sys.version_info[:2]
    if sys.version_info < (3, 11) or sys.version_info >= (3, 14):
        sys.exit(
            "rtmlops needs Python 3.11, 3.12 or 3.13, and found %s (%s).\n"
            "Install one of these, then run: make PYTHON=python3.12 <target>"
            % (found, sys.executable)
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        sys.exit(
            "This Python (%s) cannot make virtual environments.\n"
            "Debian and Ubuntu: apt install python3-venv" % sys.executable
        )


if __name__ == "__main__":
    main()
