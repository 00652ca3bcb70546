"""Command lines as upstream's binaries read them: which flags there are, and the error texts for what there is not.

kube-apiserver reads flags with pflag (``--flag value``, ``--flag=value``, booleans without a value), etcd with Go's
own flag package (one dash or two). Both refuse what they do not know, hence so do we: a test that sets a flag wants its
effect. A flag that upstream has and that has no effect here is accepted with a warning, or refused where ignoring it
would let somebody in (`options`).
"""

from __future__ import annotations

from collections.abc import Sequence


def words(text: str) -> frozenset[str]:
    """A set of names, from a text of them."""
    return frozenset(text.split())


BOOLEANS = words(
    """
    emulation-forward-compatible runtime-config-emulation-forward-compatible shutdown-send-retry-after
    enable-garbage-collector encryption-provider-config-automatic-reload watch-cache disable-http2-serving
    permit-address-sharing permit-port-sharing audit-log-batch-throttle-enable audit-log-compress
    audit-log-truncate-enabled audit-webhook-batch-throttle-enable audit-webhook-truncate-enabled
    contention-profiling enable-priority-and-fairness profiling anonymous-auth enable-bootstrap-token-auth
    service-account-extend-token-expiration service-account-lookup log-json-split-stream log-text-split-stream
    aggregator-reject-forwarding-redirect allow-privileged enable-aggregator-routing enable-logs-handler
    """
)
"""kube-apiserver's flags that need no value."""

VALUES = words(
    """
    advertise-address cors-allowed-origins emulated-version external-hostname feature-gates goaway-chance
    livez-grace-period max-mutating-requests-inflight max-requests-inflight min-request-timeout request-timeout
    shutdown-delay-duration shutdown-watch-termination-grace-period storage-initialization-timeout
    strict-transport-security-directives delete-collection-workers encryption-provider-config etcd-cafile
    etcd-certfile etcd-compaction-interval etcd-count-metric-poll-period etcd-db-metric-poll-interval
    etcd-healthcheck-timeout etcd-keyfile etcd-prefix etcd-readycheck-timeout etcd-servers etcd-servers-overrides
    lease-reuse-duration-seconds storage-backend storage-media-type watch-cache-sizes default-watch-cache-size
    bind-address cert-dir http2-max-streams-per-connection secure-port tls-cert-file tls-cipher-suites
    tls-min-version tls-private-key-file tls-sni-cert-key audit-log-batch-buffer-size audit-log-batch-max-size
    audit-log-batch-max-wait audit-log-batch-throttle-burst audit-log-batch-throttle-qps audit-log-format
    audit-log-maxage audit-log-maxbackup audit-log-maxsize audit-log-mode audit-log-path
    audit-log-truncate-max-batch-size audit-log-truncate-max-event-size audit-log-version audit-policy-file
    audit-webhook-batch-buffer-size audit-webhook-batch-max-size audit-webhook-batch-max-wait
    audit-webhook-batch-throttle-burst audit-webhook-batch-throttle-qps audit-webhook-config-file
    audit-webhook-initial-backoff audit-webhook-mode audit-webhook-truncate-max-batch-size
    audit-webhook-truncate-max-event-size audit-webhook-version debug-socket-path api-audiences
    authentication-config authentication-token-webhook-cache-ttl authentication-token-webhook-config-file
    authentication-token-webhook-version client-ca-file oidc-ca-file oidc-client-id oidc-groups-claim
    oidc-groups-prefix oidc-issuer-url oidc-required-claim oidc-signing-algs oidc-username-claim
    oidc-username-prefix requestheader-allowed-names requestheader-client-ca-file requestheader-extra-headers-prefix
    requestheader-group-headers requestheader-uid-headers requestheader-username-headers service-account-issuer
    service-account-jwks-uri service-account-key-file service-account-max-token-expiration token-auth-file
    authorization-config authorization-mode authorization-policy-file authorization-webhook-cache-authorized-ttl
    authorization-webhook-cache-unauthorized-ttl authorization-webhook-config-file authorization-webhook-version
    runtime-config egress-selector-config-file admission-control admission-control-config-file
    default-not-ready-toleration-seconds default-unreachable-toleration-seconds disable-admission-plugins
    enable-admission-plugins allow-metric-labels allow-metric-labels-manifest disabled-metrics
    show-hidden-metrics-for-version log-flush-frequency log-json-info-buffer-size log-text-info-buffer-size
    logging-format v vmodule tracing-config-file coordinated-leadership-lease-duration
    coordinated-leadership-renew-deadline coordinated-leadership-retry-period endpoint-reconciler-type event-ttl
    kubelet-certificate-authority kubelet-client-certificate kubelet-client-key kubelet-preferred-address-types
    kubelet-timeout kubernetes-service-node-port max-connection-bytes-per-sec peer-advertise-ip peer-advertise-port
    peer-ca-file proxy-client-cert-file proxy-client-key-file service-account-signing-endpoint
    service-account-signing-key-file service-cluster-ip-range service-node-port-range kloster-controllers
    """
)
"""Those that take one. The last is Kloster's own: which of kube-controller-manager's controllers run."""


class FlagError(Exception):
    """The command line cannot be read; the text is upstream's."""


def kube_apiserver(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Flag → values, in order. Raises FlagError."""
    found: dict[str, list[str]] = {}
    waiting = list(reversed(arguments))
    while waiting:
        argument = waiting.pop()
        if not argument.startswith("-") or argument == "-":
            raise FlagError(f'"kube-apiserver" does not take any arguments, got {_listed([argument, *waiting[::-1]])}')
        if argument == "--":
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("--") and argument[1:2] != "v":
            raise FlagError(f"unknown shorthand flag: {argument[1:2]!r} in {argument}")
        if name in BOOLEANS:
            found.setdefault(name, []).append(_boolean(name, value) if equals else "true")
        elif name in VALUES:
            if not equals and not waiting:
                raise FlagError(f"flag needs an argument: --{name}")
            found.setdefault(name, []).append(value if equals else waiting.pop())
        else:
            raise FlagError(f"unknown flag: --{name}")
    return found


def _boolean(name: str, value: str) -> str:
    if value.lower() in ("1", "t", "true"):
        return "true"
    if value.lower() in ("0", "f", "false"):
        return "false"
    text = f'invalid argument "{value}" for "--{name}" flag: strconv.ParseBool: parsing "{value}": invalid syntax'
    raise FlagError(text)


def _listed(arguments: Sequence[str]) -> str:
    return "[" + " ".join(f'"{one}"' for one in arguments) + "]"
