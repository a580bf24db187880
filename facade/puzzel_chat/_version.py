"""The version of the package, for its root and for the User-Agent."""

from __future__ import annotations

__version__ = "0.1.0"
"""The version of this library."""
