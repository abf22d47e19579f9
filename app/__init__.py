"""Use cases and doors: engine, worker, queries, HTTP, command line. bootstrap.py names adapters."""
