//! SQLite and PostgreSQL: one SQL text, migrations, sealing of secrets.
