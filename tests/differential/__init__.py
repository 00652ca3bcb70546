"""The same requests against a real kube-apiserver and against Kloster, the answers compared.

    sequences/NAME.yaml   requests in order, each sequence in a namespace of its own
    golden/NAME.json      what a real server answered, normalized; written by ``python -m tests.differential.record``
    test_replay.py        sends the sequences to a cluster in memory and compares

A step is a text ``METHOD PATH``, or a mapping:

    request   ``METHOD PATH``; ``${ns}`` is the sequence's namespace, ``${name}`` a saved value
    body      an object (sent as JSON) or a text (sent as it is)
    headers   lower-case names
    save      name → dotted path into the answer's body
    differs   why Kloster answers otherwise on purpose: the step is sent, its answer not compared
    wait      seconds before the request (for the real server's caches)

Only what must differ between two servers is normalized: UIDs, times, resourceVersions (kept apart as far as one
sequence's objects tell them apart), generated suffixes, allocated addresses and ports.
"""
