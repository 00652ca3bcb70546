"""Other people's test suites, run as they are, and what the same runs gave on a real kube-apiserver.

Each suite has a module that fetches and runs it, and a record: `NAME.json` with the outcome of every test on a real
server, why those fail that fail there, and which are known to end differently on Kloster. A run on Kloster must end as
the record says, line by line, so that a new failure is seen and so is a test that begins to pass.
"""
