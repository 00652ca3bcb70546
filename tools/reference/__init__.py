"""Generates the packaged data of a Kubernetes minor version (`make reference VERSION=1.34`).

Not part of the wheel. Three steps; the first leaves a directory of plain JSON files per minor, from which the others
can be repeated:

    record     asks a real server (`server`) for discovery, versions, bootstrap objects, table columns, ..., and Go
               (`gotypes`) for the types of its version. Only with ``--server-kubeconfig``
    facts      asks Go (`goopenapi`) what upstream's generated definitions tell beyond the published ones, and keeps it
               for all minors in ``openapi-facts.json`` (`openapi`). Not with ``--without-go``
    pack       joins such a directory with the schemas of the kubernetes-validate package (`schemas`) and writes
               ``src/kloster/kinds/data/<minor>.zz`` and ``<minor>.descriptions.zz`` (`packing`)
"""
