"""Rollups: what is kept of many records once they are old. Pure decisions, one module each.

`definition` what a job rolls up; `cells` sums that merge; `records` which cell a record belongs to; `windows` what
travels in a tumbling window; `progress` how far a job is.
"""
