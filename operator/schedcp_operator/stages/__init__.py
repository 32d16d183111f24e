"""The stages of a run, one pure function each: run and event in, transition out.

A stage must not read a clock, do I/O, or call another stage: it can only name the next one.
"""
