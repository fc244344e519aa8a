"""`python -m export.web`."""

import sys

from export.web import main

sys.exit(main())
