"""The console of a running local cloud: its page, and the API that the page reads."""
