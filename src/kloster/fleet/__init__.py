"""All virtual clusters of one host, and the process that serves them.

`assembly` puts a cluster's parts together, `lifecycle/` has one module for each thing that happens to a cluster,
`reconciler` does what VirtualCluster objects ask for, `process` is what `kloster up` runs.
"""
