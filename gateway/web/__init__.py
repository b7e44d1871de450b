"""What the operator sees of a running gateway: metrics, health, status as JSON, and a live page."""
