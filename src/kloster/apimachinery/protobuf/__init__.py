"""Protobuf, the API's binary form: objects of built-in types only, in an envelope that says what they are.

    encode      object → message           decode     message → object
    leaves      messages that stand for single values (times, quantities, raw JSON)
    wire        numbers, tags and lengths; what is wrong with bytes
    envelope    ``k8s\\0`` and runtime.Unknown around a message; watch events and their frames

Messages follow upstream's Go structs, not their .proto files alone: what is no pointer is always written, in the
order of field numbers; maps by sorted key. So the bytes equal those of a real API server.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""
