"""`python -m financial_model COMMAND`."""

from .cli import main

if __name__ == "__main__":
    main()
