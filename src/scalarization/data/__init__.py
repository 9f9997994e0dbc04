"""Original files, prepared stores, sampling of domains, augmentation of batches."""
