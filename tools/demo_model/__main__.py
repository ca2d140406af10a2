"""``python -m tools.demo_model`` builds the model."""

import sys

from .build import main

sys.exit(main())
