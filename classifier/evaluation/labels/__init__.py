"""Which labels a person should look at, or give next."""
