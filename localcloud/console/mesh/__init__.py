"""The streaming mesh as the console shows it: streams, who reads them, rules, subscribers, rollups, and a live tail.

Everything is asked of the local cloud's own AWS APIs, as any client would; where to look is read from the settings of
functions.
"""
