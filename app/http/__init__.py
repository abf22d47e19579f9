"""The HTTP door: routes, wire models, server-sent events, problems. No decisions."""
