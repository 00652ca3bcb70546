"""Generates the packaged data of a Kubernetes minor version (`make reference VERSION=1.34`).

Not part of the wheel. Two steps, which meet in a directory of plain JSON files per minor:

    record     asks a real server (`server`) for discovery, versions, bootstrap objects, table columns, ...
    pack       joins such a directory with the schemas of the kubernetes-validate package (`schemas`) and writes
               ``src/kloster/kinds/data/<minor>.zz`` and ``<minor>.descriptions.zz`` (`packing`)
"""
