"""Networks without their last layer, by name: of this project, of torchvision and of timm."""
