"""`python -m qfa_search`, the same as the command `qfa-search`."""

from qfa_search.cli import main

if __name__ == "__main__":
    main()
