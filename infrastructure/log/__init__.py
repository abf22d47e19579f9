"""The event store on SQL and in memory: recorders, writer, codec, snapshots, subscriptions."""
