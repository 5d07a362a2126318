"""Two Regions that guard the same keys, in bad weather, on virtual time: what ADR 0010 and 0011 promise, by seeds.

The guards, stores over stores, terms and doubts are the shipped ones, called through their ports; simulated are what is
beyond those ports (tables, links, clocks, clients, people, crashes). Start at `run.py`. `setting.py` is what a run is
of, `world.py` puts the parts together, `weather.py` breaks them, `checker.py` judges the history and knows none of the
code. docs/simulation.md has the properties and the results.
"""
