"""What is around every call, whatever it asks: limits, admission, decoding, errors."""
