"""Prepared store, sampling of domains, augmentation in batches."""
