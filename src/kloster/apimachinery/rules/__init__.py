"""Validation rules of custom resources (``x-kubernetes-validations``): CEL in the schema of a definition.

`declared` reads a structural schema as CEL's types, with the largest size that each part of an object can have,
`conversion` turns an object's JSON into CEL's values, `compilation` compiles the rules of one node of the schema.
`definitions` judges them when a definition is written; `objects` evaluates them when an object is written.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""
