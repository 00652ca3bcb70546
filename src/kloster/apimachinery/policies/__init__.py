"""Expressions of admission: match conditions of webhooks, and admission policies.

`environment` declares what such expressions see, `expressions` compiles and evaluates them with a budget, `conditions`
decides whether a webhook or policy is to be asked at all, `validating` what a policy finds.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""
