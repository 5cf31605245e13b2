"""What people decided and the ledger follows: entered with what it tells of, published, and read after a restore."""
