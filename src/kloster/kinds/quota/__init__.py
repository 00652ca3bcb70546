"""What counts against a ResourceQuota: arithmetic (`amounts`), which objects a quota is about (`scopes`), and what an
object of each kind uses (`measures`).

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""
