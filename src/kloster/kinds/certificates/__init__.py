"""Certificate signing requests and trust bundles (certificates.k8s.io)."""
