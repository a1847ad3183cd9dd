"""`python -m foxapi_async.cli`: the same as `foxapi`."""

import sys

from foxapi_async.cli import main

sys.exit(main())
