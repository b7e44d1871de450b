"""Short messages, pure: octets and text (`alphabets`), long messages out (`segments`) and in (`concat`)."""
