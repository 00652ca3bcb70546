"""Types of the API and the walkers over them: decoding with checks, ordering and pruning, list semantics."""
