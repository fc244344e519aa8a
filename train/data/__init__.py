"""What training reads: sources, augmentation, scenes and captions."""
