"""`python -m export.card`."""

import sys

from export.card import main

if __name__ == "__main__":
    sys.exit(main())
