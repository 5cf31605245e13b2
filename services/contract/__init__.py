"""What was agreed: the contract, its tariffs, and the exact arithmetic both rest on. Pure; does no I/O."""
