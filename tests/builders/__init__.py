"""What several tests share: small data sets, models, clones and servers."""
