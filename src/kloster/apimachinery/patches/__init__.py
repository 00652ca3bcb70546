"""The patch formats of the API. Each module has a function `apply` that gives back a new document.

    json_patch   application/json-patch+json (RFC 6902)
    merge        application/merge-patch+json (RFC 7396)
    strategic    application/strategic-merge-patch+json, by the schema of the type

Server-side apply is more than a patch: see `kloster.apimachinery.apply`. Errors are raised as StatusError.
"""
