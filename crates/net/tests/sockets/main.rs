//! The edge and egress over real sockets on loopback.

#[expect(
    unreachable_pub,
    reason = "it is the testkit's; depending on that would build the store"
)]
#[path = "../../../testkit/src/fake_http.rs"]
mod fake_http;

#[cfg(test)]
mod address_rules;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod listening;
#[cfg(test)]
mod naming;
#[cfg(test)]
mod pooling;
#[cfg(test)]
mod proxying;
#[cfg(test)]
mod smuggling;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
