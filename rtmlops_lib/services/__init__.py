"""The headless services, and the one consume loop that they share."""
