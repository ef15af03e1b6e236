"""``python -m qoe``: the command line."""

from qoe.cli import entry

if __name__ == "__main__":
    entry()
