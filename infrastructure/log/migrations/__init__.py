"""Schema migrations of the SQL stores, run by Alembic from inside the installed package."""
