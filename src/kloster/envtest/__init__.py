"""The drop-in for envtest: executables `kube-apiserver`, `etcd` and `kubectl`, started as test suites start upstream's.

What a suite expects comes from controller-runtime's `pkg/envtest`: it starts etcd and polls its ``/health``, starts
kube-apiserver and polls its ``/healthz``, and ends both with SIGTERM. What a cluster *is* lives as long as etcd: an
API server may come and go, its objects stay. So here the process called etcd holds the store and serves the API; the
process called kube-apiserver is thin, it hands its flags over and stands for its listener. That also hides most of the
loading behind the time that a suite needs anyway: while etcd answers the first probes it loads the API server.

    etcd            (`etcd`)    binds, answers /health, loads ──▶ `plane`: one store, any number of API servers
    kube-apiserver  (`shim`)    ── flags, over a private Unix socket (`control`) ──▶ `plane`: serve while I live

`shim` and `etcd` know nothing of the rest and import the standard library alone. State is in memory: envtest runs its
etcd without fsync and removes its directory at the end, so this promises as much. No controller runs unless asked
(``--kloster-controllers``).
"""
