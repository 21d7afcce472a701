"""The gRPC services: one servicer a file, each a translation between messages and the domain."""
