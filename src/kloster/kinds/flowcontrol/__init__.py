"""Priority and fairness of requests (flowcontrol.apiserver.k8s.io)."""
