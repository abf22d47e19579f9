"""Adapters: each module implements a port of the domain. No use cases here."""
