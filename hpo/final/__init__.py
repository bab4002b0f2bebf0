"""The final stage: the best candidates of a search, run again over fresh seeds.

The best of many trials is best partly by luck. Only runs that did not choose it can tell how good
it is.
"""
