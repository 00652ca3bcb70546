"""Puts pods on nodes: `snapshot` keeps what nodes hold, `plugins` say where a pod may go, `loop` decides and binds."""
