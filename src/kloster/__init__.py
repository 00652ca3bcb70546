"""Kloster: a Kubernetes cluster of its own for everybody, on one shared cluster.

This package imports nothing on its own, so that `import kloster` and the command line start at once.
Where things are: docs/architecture.md.
"""

__version__ = "0.1.0"
