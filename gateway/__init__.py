"""The gateway: SMPP towards the SMSC, the dialog with the subscriber, the operator's tools."""
