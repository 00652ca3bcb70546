"""How bytes come in: sockets, TLS and HTTP/1.1, up to a `Request` and down from a `Response`.

Belongs here: listening, choosing the cluster a connection is for, the HTTP grammar and its limits.
Does not: anything that knows what a path means (that is `kloster.apiserver.pipeline`).
"""
