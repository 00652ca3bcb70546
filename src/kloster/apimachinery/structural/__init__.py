"""Structural schemas: what a CustomResourceDefinition says about its objects, and what follows from it.

    model        the schema as a tree of nodes
    graph        the tree as a type graph, on which decoding (pruning), patches and apply work
    defaulting   values that the schema fills in
    values       what the schema demands of values: types, enums, members, alternatives
    scalars      the same for texts and numbers
    findings     what comes of it, in upstream's words
    lists        sets and maps in lists
    checks       what the schema itself must be like

Pure: no CustomResourceDefinition, no cluster. Source:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""
