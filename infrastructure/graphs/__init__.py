"""Graph runners: functions and LangGraph graphs behind the GraphRunner port, and their loading."""
