"""The built-in controllers: what kube-controller-manager runs, one file each."""
