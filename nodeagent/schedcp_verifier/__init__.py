"""The Execution Verifier: proves a scheduler before a node may load it.

Build, static analysis, a micro-VM, a replay on virtual time, a signed verdict. This package must
not touch the kernel it runs on, must not import the operator or the agent, and never takes "could
not tell" for a pass: a bad candidate is data (`Verdict`), a broken machine is an exception.
"""
