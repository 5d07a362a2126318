"""Language models that the local cloud can answer with, all behind one protocol."""
