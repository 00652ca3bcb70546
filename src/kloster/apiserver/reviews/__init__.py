"""Resources that are questions: a POST asks, the answer is in the status, nothing is stored."""
