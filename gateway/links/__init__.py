"""The Twisted adapters: connections to SMSCs and from peers, kept up, secured, and joined to the flow."""
