"""What goes wrong in the demo for a reason that its reader can do something about."""

from __future__ import annotations

import importlib

# import name -> name on the package index; all of them come with the `demo` extra.
_EXTRAS = {
    "implicit": "implicit",
    "ir_measures": "ir-measures",
    "jinja2": "jinja2",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "threadpoolctl": "threadpoolctl",
}


class DemoError(Exception):
    """Printed without a traceback: the message says what happened and what to do."""


def require_extras() -> None:
    """Import what the demo needs beyond NumPy, or say how to get it."""
    missing = []
    for module, package in _EXTRAS.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            # A package that is there but cannot load (a missing system library) is a different
            # problem, and its own message is the useful one.
            if isinstance(error, ModuleNotFoundError) and error.name == module:
                missing.append(package)
            else:
                raise DemoError(
                    f"the Python package {package} is installed but does not load: {error}"
                ) from error
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise DemoError(
            f"the demo needs {', '.join(missing)}, which {verb} not installed.\n"
            "Install the demo's extras:  pip install 'perso_core[demo]'"
        )
