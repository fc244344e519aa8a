"""`python -m export.space`."""

import sys

from export.space import main

if __name__ == "__main__":
    sys.exit(main())
