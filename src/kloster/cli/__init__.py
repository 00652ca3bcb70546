"""The command line: one file a command, `create.py` for ``kloster create``.

Commands talk to the fleet only through the host's Kubernetes API (`hostapi`), like everybody else. Modules here import
nothing heavy: a command starts in the time that Python itself needs.
"""
