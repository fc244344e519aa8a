"""Training, evaluation and the study of the models."""
