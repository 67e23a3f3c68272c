"""Names of rows in tables of results that have a row for each class besides."""

ALL_CLASSES = "all classes"
# The same, by thresholds that come from other test images.
ALL_UNSEEN = "all classes, thresholds from test images"
MEAN_OF_CLASSES, FOREIGN_IMAGES = "mean of the classes", "foreign images"
ROW_NAMES = (ALL_CLASSES, ALL_UNSEEN, MEAN_OF_CLASSES, FOREIGN_IMAGES)
