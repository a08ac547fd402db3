"""The atlas: porting traps, and topics side by side."""
