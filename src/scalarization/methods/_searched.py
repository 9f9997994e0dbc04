"""Options of the methods whose weights come from a search of the preset."""

#: ``search``: a key of the preset's ``searches``; ``search_on``: the architecture it was made on, the cell's own if
#: null; ``policy``: train with the ``whole`` policy, or with its ``last`` weights from the beginning.
OPTIONS = {"search": None, "search_on": None, "policy": "whole"}
POLICIES = ("whole", "last")
#: Methods, and whether members of the search copy each other.
METHODS = {"pbt": True, "pb2": True, "search_grid": False, "search_random": False}
