"""Who is allowed to do what: RBAC, and the authorizers that need no rules.

Belongs here: decisions and their wording. Does not: keeping roles (they are ordinary objects), or aggregating
ClusterRoles (a controller does).
"""
