"""Load for a long time, with a bank that changes: does anything grow, or slow down?"""
