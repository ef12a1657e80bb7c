"""The whole loop, accelerated: hours of events in seconds."""
