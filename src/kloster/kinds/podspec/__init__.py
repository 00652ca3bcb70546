"""The pod spec, which pods share with the templates of workloads: defaults and validation, one file a theme.

What other kinds need of it is exported by `kloster.kinds.podtemplate`.
"""
