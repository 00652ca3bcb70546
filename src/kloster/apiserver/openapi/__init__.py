"""/openapi/v2 and /openapi/v3: the documents of a version, and what custom resources add to them.

builtin    a catalog's resources as OpenAPI wants them; a version's documents, as compressed bytes
custom     the documents of a cluster's custom resources
answers    paths, hashes, media types, caching headers
"""
