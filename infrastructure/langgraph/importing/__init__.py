"""Reads the checkpoint databases that LangGraph's own savers write, and nothing else of them."""
