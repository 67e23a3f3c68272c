"""Networks, pretrained weights, features, and the bundle that carries a model."""
