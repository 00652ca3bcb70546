"""CEL's functions, one module per library: the standard ones, those of cel-go's extensions, and Kubernetes' own.

Each module declares its functions in a `Collection`; `kloster.apimachinery.cel.versions` says which Kubernetes version
has which. What a call costs stands beside it.
"""
