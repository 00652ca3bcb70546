"""Whether and how well a pod fits a node: pure arithmetic that several share.

Belongs here: one rule a module, over objects. Does not: the order of the rules, and what follows from them
(`scheduler`).
"""
