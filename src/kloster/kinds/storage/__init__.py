"""Storage classes and what CSI drivers publish (storage.k8s.io)."""
