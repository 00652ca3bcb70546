"""Real Kubernetes on hand: upstream's own server, built through the Go module proxy, as an oracle for tests.

    components.py   where the programs are: a folder that was given, or the cache, built there once
    server.py       one server on loopback, with etcd: started, asked, ended
    __main__.py     ``python -m tests.upstream VERSION``: a server to play with, until Ctrl-C

The cache is ``$KLOSTER_UPSTREAM_CACHE``, else ``kloster/upstream`` in the user's cache folder (XDG). A cold build of
a kube-apiserver takes four to five minutes on two cores, and Go's own caches some gigabytes.
"""
