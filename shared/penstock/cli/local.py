"""The one place where the command line reaches for what is run from the tree and is not in the wheel: the services."""

import importlib
import sys
from typing import Any

from penstock.errors import NotFoundError
from penstock.local.state import tree_root


def load(module: str, package: str = "services") -> Any:
    """Return the module `<package>.<module>` of the tree.

    Raises:
        NotFoundError: the tree, or a part that it needs, is not installed here.
    """
    root = tree_root()
    if root is not None and str(root) not in sys.path:
        # The installed script does not have the checkout on its path, `python -m` run there does.
        sys.path.append(str(root))
    try:
        return importlib.import_module(f"{package}.{module}")
    except ModuleNotFoundError as error:
        raise NotFoundError(
            f"this command needs {package}.{module}, and {error.name!r} is not installed here: run it from a clone of "
            "the repository by `./penstock`, or install the extra `services`"
        ) from None
