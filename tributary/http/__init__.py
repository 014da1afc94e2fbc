"""HTTP for both roles: Flask with its errors and checks, and the lane in front of it."""
