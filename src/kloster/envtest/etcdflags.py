"""etcd's command line, of which the address matters and the rest is accepted as etcd accepts it."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.envtest.flags import words

BOOLEANS = words(
    """
    memory-mlock initial-election-tick-advance socket-reuse-port socket-reuse-address enable-grpc-gateway
    discovery-insecure-transport discovery-insecure-skip-tls-verify strict-reconfig-check pre-vote client-cert-auth
    auto-tls peer-client-cert-auth peer-auto-tls enable-pprof enable-log-rotation enable-distributed-tracing
    initial-corrupt-check compact-hash-check-enabled enable-lease-checkpoint peer-skip-client-san-verification
    txn-mode-write-with-shared-buffer stop-grpc-service-on-defrag force-new-cluster unsafe-no-fsync enable-v2
    """
)
VALUES = words(
    """
    name data-dir wal-dir snapshot-count heartbeat-interval election-timeout listen-peer-urls listen-client-urls
    listen-client-http-urls max-snapshots max-wals quota-backend-bytes backend-bbolt-freelist-type
    backend-batch-interval backend-batch-limit max-txn-ops max-request-bytes max-concurrent-streams
    grpc-keepalive-min-time grpc-keepalive-interval grpc-keepalive-timeout raft-read-timeout raft-write-timeout
    feature-gates initial-advertise-peer-urls initial-cluster initial-cluster-state initial-cluster-token
    advertise-client-urls discovery discovery-token discovery-endpoints discovery-dial-timeout
    discovery-request-timeout discovery-keepalive-time discovery-keepalive-timeout discovery-cert discovery-key
    discovery-cacert discovery-user discovery-password discovery-fallback discovery-proxy discovery-srv
    discovery-srv-name auto-compaction-retention auto-compaction-mode v2-deprecation cert-file key-file
    client-cert-file client-key-file client-crl-file client-cert-allowed-hostname trusted-ca-file peer-cert-file
    peer-key-file peer-client-cert-file peer-client-key-file peer-trusted-ca-file peer-cert-allowed-cn
    peer-cert-allowed-hostname self-signed-cert-validity peer-crl-file cipher-suites cors host-whitelist
    tls-min-version tls-max-version auth-token bcrypt-cost auth-token-ttl metrics listen-metrics-urls logger
    log-outputs log-level log-format log-rotation-config-json warning-unary-request-duration
    distributed-tracing-address distributed-tracing-service-name distributed-tracing-instance-id
    distributed-tracing-sampling-rate corrupt-check-time compact-hash-check-time compaction-batch-limit
    watch-progress-notify-interval warning-apply-duration bootstrap-defrag-threshold-megabytes max-learners
    compaction-sleep-interval downgrade-check-time snapshot-catchup-entries config-file
    """
)
_REFUSED = {
    "cert-file": "TLS is not supported: listen on http://",
    "config-file": "configuration files are not supported: use flags",
}


class FlagError(Exception):
    """The command line cannot be read; the text is etcd's."""


def parse(arguments: Sequence[str]) -> dict[str, str]:
    """Flag → its last value. Raises FlagError."""
    found: dict[str, str] = {}
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if not argument.startswith("-"):
            raise FlagError(f"'{argument}' is not a valid flag")
        name, equals, value = argument.lstrip("-").partition("=")
        known = name.removeprefix("experimental-")
        if known in BOOLEANS:
            found[name] = value if equals else "true"
        elif known in VALUES:
            if not equals and not waiting:
                raise FlagError(f"flag needs an argument: -{name}")
            found[name] = value if equals else waiting.pop()
        else:
            raise FlagError(f"flag provided but not defined: -{name}")
        if name in _REFUSED and found[name]:
            raise FlagError(f"-{name}: {_REFUSED[name]}")
    return found
