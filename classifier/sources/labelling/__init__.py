"""The label of each image, from folders, a table or a pattern of file names."""
