"""Tables, row and value, claims with leases; one code for SQLite and PostgreSQL."""
