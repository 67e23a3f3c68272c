"""Reading data/split: images, labels, metadata, statistics, augmentation."""
