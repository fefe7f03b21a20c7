"""Generated from the .proto files beside this."""
