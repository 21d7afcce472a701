"""The wire contract. The .proto files in `v1` are its source, the modules beside them are made."""
