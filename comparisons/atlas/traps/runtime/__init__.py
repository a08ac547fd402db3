"""Compiling, dispatching, devices, threads and memory."""
