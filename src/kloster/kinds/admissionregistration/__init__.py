"""Admission webhooks and policies (admissionregistration.k8s.io)."""
