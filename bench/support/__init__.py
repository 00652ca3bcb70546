"""What the benchmarks share: starting a fleet, a peer beside it, load, processor time, the report.

Every figure is taken beside a real kube-apiserver with etcd where one is given (``--peer-kubeconfig``), in the same
run, in turns: this machine's mood then hits both. Servers run on one processor, load on another. Wall-clock figures
on a busy machine lie; processor seconds per operation lie less, so both are printed.
"""
