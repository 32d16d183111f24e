"""The nouns: every object that the programs of SchedCP exchange, and the CRDs made from them.

This package must not do I/O, read a clock, or know of any other package of this project.
Everything here is a frozen pydantic model, a pure function over such models, or a constant.
"""
