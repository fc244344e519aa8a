"""`python -m petseg`: the command line."""

from petseg.cli import main

if __name__ == "__main__":
    main()
