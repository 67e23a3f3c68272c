"""Find duplicates: equal files, equal pixels and near-duplicates."""
