"""GeoTIFFs -> batches of (lr, hr, valid); radiometry, degradation, augmentation."""
