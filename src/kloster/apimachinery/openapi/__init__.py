"""OpenAPI: what upstream publishes about its API, generated from the same data that serves it.

    definitions  a Go type → its schema              resources   a resource → its operations
    documents    a group version's document (v3)     swagger     everything in one document (v2)
    custom       what a CustomResourceDefinition adds

Everything here turns plain values into plain values. Who asks decides what is kept.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""
