"""What the SMPP codec and session cost, beside other Python codecs."""
