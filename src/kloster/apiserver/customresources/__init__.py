"""Custom resources: what a CustomResourceDefinition says, made into something that is served.

What does not belong here: the definition as an object of its own (`kinds/apiextensions`), the arithmetic of structural
schemas (`apimachinery/structural`), documents about them (`apiserver/openapi`).
"""
