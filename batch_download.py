"""Download A-share history from a shell: the same as `python -m financial_model download`."""

import sys

from financial_model.cli import main

if __name__ == "__main__":
    main(["download", *sys.argv[1:]])
