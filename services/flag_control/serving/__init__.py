"""How clients receive flags: OFREP over HTTP, flagd sync over gRPC, and the immutable store behind both."""
