"""The pure core: events, the fold, decisions, the ports it needs. No clock, no ids made, no I/O."""
