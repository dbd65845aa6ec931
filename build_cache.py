"""Build the panel cache from a shell: the same as `python -m financial_model build-panel`."""

import sys

from financial_model.cli import main

if __name__ == "__main__":
    main(["build-panel", *sys.argv[1:]])
