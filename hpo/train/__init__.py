"""The built-in trainer: the only folder that imports torch. Read `step.py`, then `drivers/`."""
