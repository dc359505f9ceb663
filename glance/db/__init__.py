"""The catalogue: tables, migrations, queries, and the adapter that runs them off the reactor."""
