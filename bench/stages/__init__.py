"""Where a message's time goes in the gateway."""
