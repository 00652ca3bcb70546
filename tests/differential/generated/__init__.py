"""Cases made mechanically from the schemas: each kind's every field set, set wrongly, changed, merged.

    objects.yaml    a minimal and a full object of each kind, valid values of some types
    values.py       values for a field: right ones, and wrong ones in the ways that validation knows
    paths.py        where a type's fields are, and objects with one of them set
    cases.py        the cases of a kind: creations, updates, patches, all of them dry runs
    corpus.py       recorded answers (answers/MINOR/KIND.jsonl.xz) and known differences (known/MINOR/KIND.txt)
    playing.py      sends a kind's cases to a server, real or ours
    __main__.py     records and compares: ``make differential``
    test_*.py       replays what was recorded; needs no Go

The cases need not be valid, and need not be wrong: the real server says what is right. Nearly all of them are dry
runs, so that none depends on another: a kind's creations are sent first, then its full object is stored, then changes
of that are tried.
"""
