"""Model providers behind one interface.

`provider.py` has the interface and its types, `faults.py` the errors; each other module is one provider. Functions and
flows know the interface only; which provider it is, a function's lifespan decides.
"""
