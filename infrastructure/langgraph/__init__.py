"""LangGraph on the log: hosts its graphs, and keeps their checkpoints as events. Needs the extra `threadfold[langgraph]`."""
