"""What threads do on the CPUs: the edge to the kernel's scheduler tracepoints.

`port` is the seam, `decode` is pure, `bcc_probes` is the only module that imports bcc, and
`wakeups.c` is what it compiles.
"""
