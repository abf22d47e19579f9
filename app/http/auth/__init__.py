"""Who may call, and what they reach: API keys, `langgraph_sdk.Auth` handlers, and the engine as each caller has it."""
