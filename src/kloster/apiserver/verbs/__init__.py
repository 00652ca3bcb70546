"""What each verb does with a resource: one module a verb, with a function ``serve(call)``."""
