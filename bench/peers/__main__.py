"""python -m bench.peers"""

from .cli import main

raise SystemExit(main())
