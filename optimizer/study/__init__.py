"""The only package, with the samplers, that speaks to Optuna."""
