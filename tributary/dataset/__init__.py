"""Static data sets as readings: what a file is guessed to mean, and its rows by that guess. Pure.

lines → records (`record`) → a plan (`plan`, from a sample) → readings or reasons (`row`).
"""
