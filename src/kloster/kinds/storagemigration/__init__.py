"""Migration of stored objects (storagemigration.k8s.io)."""
