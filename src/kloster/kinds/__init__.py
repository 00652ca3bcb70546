"""The built-in kinds: data per Kubernetes version, and one small module per kind for what data lacks.

`catalog` says what a version serves; `<group>/<plural>.py` holds a kind's defaults, validation, immutability and
table cells as a `Strategy`. No I/O besides reading the packaged data.
"""
