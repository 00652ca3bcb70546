"""The kinds of the core group (``/api/v1``), one file a kind, each with its ``STRATEGY``."""
