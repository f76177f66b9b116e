//! Every socket: the edge (listen, TLS, host routing) and egress (the only HTTP client).
