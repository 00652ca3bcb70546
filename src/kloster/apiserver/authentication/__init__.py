"""Who asks: client certificates, service-account tokens, nobody (anonymous), and speaking for others (impersonation).

Each authenticator answers a `User`, None (no credentials that it understands) or raises 401 (bad ones); `chain.py`
asks them in upstream's order. What is expensive (a signature, parsing a certificate) is done once and cached; what
can change (validity, whether a bound object still exists) is checked at each request.
"""
