"""Typed events: what a function's flow sees, whatever the source looked like on the wire.

Frozen data without behaviour that needs I/O. One module a source; `codec` has the module of the same name that reads
and writes the wire form. Must not know AWS clients, flows or JSON.
"""
