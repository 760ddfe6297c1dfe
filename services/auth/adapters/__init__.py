"""The directory in SQL, and passwords under Argon2id."""
