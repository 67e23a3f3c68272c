"""Decode the raw images once, a shard at a time, and keep decoded shards in the cache."""
