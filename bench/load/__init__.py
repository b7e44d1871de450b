"""The project's own load: an SMSC whose subscribers text, and which checks every answer (`run`)."""
