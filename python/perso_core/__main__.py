"""`python -m perso_core` is the `perso-core` command."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
