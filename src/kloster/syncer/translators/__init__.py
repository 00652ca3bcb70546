"""One module a kind: pure functions between a virtual object and its host object.

What crosses is an allow-list: a translator builds the host object from fields that it knows, it never copies
an object and takes things out. `TABLE` lists them; `Translator` says what each gives.
"""
