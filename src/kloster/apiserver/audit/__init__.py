"""Who asked what, when, and what came of it: events of the audit API (audit.k8s.io/v1).

`event` gives an event its shape, `policy` says which requests are told and how fully, `log` writes them to a file. What
is told is noted while a request is answered (`Noted`); the pipeline's part is `apiserver.auditing`.

https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/
"""
