"""The Common Expression Language as Kubernetes speaks it: parse, check, estimate, evaluate.

An expression goes one way: `lexer` → `parser` (with `macros`) → `checker`, against an `Environment` of declared
variables and of the functions that a Kubernetes version has → `estimate` of its worst cost → `plan`, which turns the
checked tree into Python closures → `Program.run` with a cost limit. Everything is pure and bounded: expressions come
from strangers. Texts of errors are those of upstream's engine (cel-go), since clients read them. Nothing in here knows
about CustomResourceDefinitions or admission; those declare their variables and use the result.
"""
