"""Optimizers, schedules, clipping, accumulation and averaging."""
